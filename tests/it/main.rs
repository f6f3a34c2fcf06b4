//! The one integration binary: a module a subject. What needs a service has it over real HTTP on
//! loopback.

mod answers;
mod budgets;
mod canary;
mod case_stores;
mod chaos;
mod classify;
mod contract;
mod decoding;
mod discovery;
mod downloads;
mod downloads_crash;
mod downloads_faults;
mod downloads_many;
mod downloads_server;
mod export;
mod extremes;
mod flow;
mod hostile;
mod inbox;
mod interop;
mod leniency;
mod limits;
mod misbehaving;
mod network;
mod notifications;
mod origins;
mod own_postgres;
mod paging;
mod postgres;
mod raw;
mod reference;
mod requests;
mod simulator;
mod simulator_board;
mod simulator_control;
mod spans;
mod time;
mod token_life;
mod tokens;

use lab_connector_tests as support;
mod watch;
