//! The one integration binary: a module a subject.

mod canary;
mod classify;
mod discovery;
mod flow;
mod hostile;
mod interop;
mod reference;
mod time;
mod token_life;
mod watch;
