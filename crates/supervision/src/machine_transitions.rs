//! Which state may follow which; the drawing in README.md shows the same, and a test compares them.
//! Refuses to be consulted at run time: it is what the machine promises, checked by its property tests.

use health_endpoints::State;

/// Every change of state that the machine makes. A new reason within a state is none.
pub const TRANSITIONS: [(State, State); 18] = [
    (State::Bootstrapping, State::Waiting),
    (State::Bootstrapping, State::Stopped),
    (State::Waiting, State::Starting),
    (State::Waiting, State::Restarting),
    (State::Waiting, State::Stopped),
    (State::Starting, State::Running),
    (State::Starting, State::Restarting),
    (State::Starting, State::Draining),
    (State::Starting, State::Stopped),
    (State::Running, State::Restarting),
    (State::Running, State::Draining),
    (State::Running, State::Stopped),
    (State::Restarting, State::Waiting),
    (State::Restarting, State::Starting),
    (State::Restarting, State::Running),
    (State::Restarting, State::Draining),
    (State::Restarting, State::Stopped),
    (State::Draining, State::Stopped),
];
