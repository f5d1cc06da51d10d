//! The whole front over real sockets, with questions that are answered as the test says; how long it pauses between them.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::*;

/// What each replica answers, if it does.
type Answers = BTreeMap<SocketAddr, Option<Answer>>;

/// None: the replicas cannot be looked up.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Option<Answers>>>);

impl Backends for Told {
    type Backend = ();
    type Connection = ();

    async fn find(&self) -> Result<Vec<(SocketAddr, ())>, String> {
        let known = self.0.borrow();
        let known = known.as_ref().ok_or("no name server")?;
        Ok(known.keys().map(|address| (*address, ())).collect())
    }

    async fn ask(&self, address: SocketAddr, (): &(), _: Option<()>) -> (Answer, Option<()>) {
        let answer = self.0.borrow().as_ref().and_then(|known| known.get(&address).cloned().flatten());
        match answer {
            Some(answer) => (answer, None),
            None => std::future::pending().await,
        }
    }
}

impl Told {
    fn says(&self, address: SocketAddr, answer: Option<Answer>) {
        self.0.borrow_mut().get_or_insert_default().insert(address, answer);
    }
}

/// A server that sends its letter and then holds the connection.
async fn lettered_server(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, &[letter]).await.unwrap();
            open.push(stream);
        }
    });
    address
}

async fn until(told: &mut watch::Receiver<String>, words: &str) {
    let found = timeout(Duration::from_secs(30), told.wait_for(|line| line.contains(words))).await.is_ok();
    assert!(found, "{words}: {}", *told.borrow());
}

const CUT: CutAfter = CutAfter { silent: Duration::from_secs(1), refusing: None, ending: None };

#[tokio::test]
async fn connections_leave_a_replica_that_falls_silent_and_stay_when_names_are_away() {
    LocalSet::new()
        .run_until(async {
            let (first, second) = (lettered_server(b'a').await, lettered_server(b'b').await);
            let replicas = Told::default();
            let (tell, mut told) = watch::channel(String::new());
            let tell = move |line: &str| drop(tell.send(line.to_owned()));
            let front = Front::start("test", replicas.clone(), CUT, tell).unwrap();
            until(&mut told, "no name server").await;
            assert_eq!(front.nobody().as_deref(), Some("no name server"));
            replicas.says(first, Some(Answer::Serves));
            until(&mut told, &format!("{first} serves")).await;
            assert_eq!(front.nobody(), None);
            let mut client = TcpStream::connect(front.address()).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'a');

            replicas.says(second, Some(Answer::Serves));
            until(&mut told, &format!("{second} serves")).await;
            replicas.says(first, None);
            until(&mut told, &format!("{first} does not answer: no answer within 1.5s")).await;
            let cut = timeout(Duration::from_secs(10), client.read_u8()).await;
            assert!(cut.expect("cut in time").is_err());

            let mut client = TcpStream::connect(front.address()).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'b');
            *replicas.0.borrow_mut() = None;
            until(&mut told, &format!("{second} does not answer")).await;
            let stays = timeout(Duration::from_secs(4), client.read_u8()).await;
            assert!(stays.is_err(), "nobody else serves, so it is left alone: {stays:?}");
        })
        .await;
}

#[test]
fn questions_come_sooner_while_nobody_serves_and_soonest_while_a_leader_is_missing() {
    let milliseconds = Duration::from_millis;
    assert_eq!(pause(false, None), ASK_EVERY);
    for (nobody_for, expected) in [(0, 250), (8_000, 250), (16_000, 500), (32_000, 1000), (600_000, 1000)] {
        assert_eq!(pause(false, Some(milliseconds(nobody_for))), milliseconds(expected), "{nobody_for} ms");
    }
    for nobody_for in [None, Some(Duration::ZERO), Some(milliseconds(600_000))] {
        assert_eq!(pause(true, nobody_for), ASK_SOON);
    }
}

/// With the real clock: between two looks at it some nanoseconds pass, which are no time without anybody.
#[tokio::test]
async fn while_somebody_serves_questions_come_once_a_second() {
    let (backends, doubts) = (Told::default(), Notify::new());
    let replica: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let mut watching = Watching {
        what: "test",
        backends: &backends,
        began: Instant::now(),
        roster: Roster::new(CUT),
        known: BTreeMap::new(),
        questions: FuturesUnordered::new(),
        asked: BTreeSet::new(),
        not_found: None,
        served: Instant::now(),
        doubts: &doubts,
    };
    assert_eq!(watching.pause(), ASK_WHILE_NOBODY.1);
    watching.roster.found([replica], Duration::ZERO);
    watching.roster.answered(replica, Answer::Serves, Duration::ZERO, Duration::ZERO);
    assert_eq!(watching.pause(), ASK_EVERY);
}
