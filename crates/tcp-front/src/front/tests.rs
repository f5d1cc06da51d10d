//! The front with real sockets: turns, failover, waiting for a server, draining, and what happens at its own stop.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::*;

fn addresses(count: u16) -> Vec<SocketAddr> {
    (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}

proptest! {
    #[test]
    fn only_usable_servers_that_were_not_tried_are_chosen_and_all_get_their_turn(
        count in 1_u16..6, tried in prop::collection::vec(0_usize..6, 0..6), turn in any::<usize>()
    ) {
        let ready = addresses(count);
        let tried: Vec<_> = tried.into_iter().filter_map(|index| ready.get(index).copied()).collect();
        match choose(&ready, &tried, turn) {
            Some(server) => prop_assert!(ready.contains(&server) && !tried.contains(&server)),
            None => prop_assert!(ready.iter().all(|server| tried.contains(server))),
        }
        let in_turn: std::collections::HashSet<_> =
            (0..usize::from(count)).map(|turn| choose(&ready, &[], turn)).collect();
        prop_assert_eq!(in_turn.len(), usize::from(count));
    }
}

fn usable<const COUNT: usize>(servers: [SocketAddr; COUNT]) -> View {
    View { usable: servers.into(), ..View::default() }
}

/// A server that answers every connection with one letter and then echoes.
async fn lettered_server(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let _ = stream.write_all(&[letter]).await;
                let (mut reading, mut writing) = stream.split();
                let _ = tokio::io::copy(&mut reading, &mut writing).await;
            });
        }
    });
    address
}

async fn front(ready: &watch::Sender<View>) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::task::spawn_local(serve(listener, ready.subscribe(), stop.clone()));
    (address, stop)
}

async fn letter_of(front: SocketAddr) -> u8 {
    TcpStream::connect(front).await.unwrap().read_u8().await.unwrap()
}

/// Anything but the five seconds that the front itself may wait counts as hanging.
async fn within_limit<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(tokio::time::timeout(Duration::from_secs(20), test)).await.expect("in time")
}

#[tokio::test]
async fn connections_take_turns_and_leave_out_who_is_not_ready() {
    within_limit(async {
        let (first, second) = (lettered_server(b'a').await, lettered_server(b'b').await);
        let ready = watch::Sender::new(usable([first, second]));
        let (front, _stop) = front(&ready).await;
        let mut letters = vec![letter_of(front).await, letter_of(front).await];
        letters.sort_unstable();
        assert_eq!(letters, b"ab");
        ready.send_replace(usable([second]));
        for _ in 0..4 {
            assert_eq!(letter_of(front).await, b'b');
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_refuses_is_passed_over_although_it_counts_as_ready() {
    within_limit(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let alive = lettered_server(b'a').await;
        let ready = watch::Sender::new(usable([gone, alive]));
        let (front, _stop) = front(&ready).await;
        for _ in 0..4 {
            assert_eq!(letter_of(front).await, b'a');
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_waits_for_the_first_ready_server() {
    within_limit(async {
        let server = lettered_server(b'a').await;
        let ready = watch::Sender::new(View::default());
        let (front, _stop) = front(&ready).await;
        let mut client = TcpStream::connect(front).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(200), client.read_u8()).await;
        assert!(waiting.is_err(), "closed at once: {waiting:?}");
        ready.send_replace(usable([server]));
        assert_eq!(client.read_u8().await.unwrap(), b'a');
    })
    .await;
}

#[tokio::test]
async fn without_any_server_a_connection_is_closed_after_a_while() {
    within_limit(async {
        let ready = watch::Sender::new(View::default());
        let (front, _stop) = front(&ready).await;
        let began = Instant::now();
        assert!(TcpStream::connect(front).await.unwrap().read_u8().await.is_err());
        assert!(began.elapsed() >= WAIT_FOR_SERVER, "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn an_open_connection_outlives_its_servers_readiness_and_ends_with_the_front() {
    within_limit(async {
        let server = lettered_server(b'a').await;
        let ready = watch::Sender::new(usable([server]));
        let (front, stop) = front(&ready).await;
        let mut client = TcpStream::connect(front).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        ready.send_replace(View::default());
        client.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        stop.cancel();
        assert!(client.read_u8().await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_connection_to_a_lost_server_is_cut_and_others_stay() {
    within_limit(async {
        let (first, second) = (lettered_server(b'a').await, lettered_server(b'b').await);
        let ready = watch::Sender::new(usable([first]));
        let (front, _stop) = front(&ready).await;
        let mut to_first = TcpStream::connect(front).await.unwrap();
        assert_eq!(to_first.read_u8().await.unwrap(), b'a');
        ready.send_replace(usable([second]));
        let mut to_second = TcpStream::connect(front).await.unwrap();
        assert_eq!(to_second.read_u8().await.unwrap(), b'b');
        ready.send_replace(View { lost: vec![first], ..usable([second]) });
        assert!(to_first.read_u8().await.is_err());
        to_second.write_all(b"x").await.unwrap();
        assert_eq!(to_second.read_u8().await.unwrap(), b'x');
    })
    .await;
}

#[tokio::test]
async fn connections_go_to_the_leader_and_wait_for_the_next_one() {
    within_limit(async {
        let (first, second) = (lettered_server(b'a').await, lettered_server(b'b').await);
        let led_by = |leader| View { best: Best::Leader(leader), ..usable([first, second]) };
        let ready = watch::Sender::new(led_by(second));
        let (front, _stop) = front(&ready).await;
        for _ in 0..4 {
            assert_eq!(letter_of(front).await, b'b');
        }
        ready.send_replace(View { best: Best::NextLeader, ..usable([first]) });
        let mut client = TcpStream::connect(front).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(500), client.read_u8()).await;
        assert!(waiting.is_err(), "it went to somebody: {waiting:?}");
        ready.send_replace(led_by(first));
        assert_eq!(client.read_u8().await.unwrap(), b'a');
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_refuses_is_doubted_and_insisted_on_for_a_while_only() {
    within_limit(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let follower = lettered_server(b'a').await;
        let ready = watch::Sender::new(View { best: Best::Leader(gone), ..usable([gone, follower]) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (front, doubts) = (listener.local_addr().unwrap(), Rc::new(Notify::new()));
        let refusals = Refusals::new(Rc::clone(&doubts), None);
        let serve = serve_and_learn(listener, ready.subscribe(), CancellationToken::new(), refusals);
        tokio::task::spawn_local(serve);
        let began = Instant::now();
        let mut client = TcpStream::connect(front).await.unwrap();
        doubts.notified().await;
        assert!(began.elapsed() < INSIST_ON_LEADER);
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        assert!(began.elapsed() >= INSIST_ON_LEADER);
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_ends_is_left_when_its_last_answers_are_there() {
    within_limit(async {
        let ends = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let leader = ends.local_addr().unwrap();
        let ready = watch::Sender::new(View { best: Best::Leader(leader), ..usable([leader]) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (front, quiet) = (listener.local_addr().unwrap(), Duration::from_secs(2));
        let refusals = Refusals::new(Rc::default(), Some(quiet));
        let serve = serve_and_learn(listener, ready.subscribe(), CancellationToken::new(), refusals);
        tokio::task::spawn_local(serve);
        let mut old = TcpStream::connect(front).await.unwrap();
        let (mut of_leader, _) = ends.accept().await.unwrap();
        drop(ends);

        let mut held = TcpStream::connect(front).await.unwrap();
        for _ in 0..10 {
            assert!(tokio::time::timeout(quiet / 8, old.read_u8()).await.is_err(), "closed in the middle");
            of_leader.write_all(b"x").await.unwrap();
            assert_eq!(old.read_u8().await.unwrap(), b'x');
        }
        assert!(old.read_u8().await.is_err(), "closed when it is quiet");
        assert_eq!(of_leader.read(&mut [0]).await.unwrap_or_default(), 0, "the leader sees it, too");
        let next = lettered_server(b'b').await;
        ready.send_replace(View { best: Best::Leader(next), ..usable([next]) });
        assert_eq!(held.read_u8().await.unwrap(), b'b');
    })
    .await;
}
