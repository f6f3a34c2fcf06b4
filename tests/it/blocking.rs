//! `.wait()` for `.await`: outside of a runtime, inside of one, and at the end of a program.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lab_connector::blocking::{ClosingClient, Wait, handler, iter};
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector::simulator::Simulator;
use lab_connector::{Client, Lab};

/// A paired lab with two orders that wait.
fn lab() -> (Simulator, ClosingClient, Lab) {
    let service = Simulator::start().wait().unwrap();
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .build()
        .unwrap();
    let client = ClosingClient::new(client);
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let redirected = service.consent(request.url()).unwrap();
    login.finish(&request, &redirected).wait().unwrap();
    let lab = login.pair("L-1").wait().unwrap();
    service.scan("L-1").unwrap();
    service.scan("L-1").unwrap();
    (service, client, lab)
}

fn inbox(lab: &Lab) -> Inbox {
    lab.inbox(MemoryStore::new())
}

/// Lists, downloads and acknowledges everything.
fn work() {
    let (_service, _client, lab) = lab();
    assert_eq!(lab.orders().list().wait().unwrap().into_orders().len(), 2);
    let inbox = inbox(&lab);
    let files = tempfile::tempdir().unwrap();
    for delivery in iter(inbox.deliveries()).take(2) {
        let delivery = delivery.unwrap();
        let came = delivery.download_all(files.path()).wait().unwrap();
        assert_eq!(came.iter().len(), 2);
        delivery.acknowledge().wait().unwrap();
    }
    assert_eq!(inbox.stats().wait().unwrap().store.open, 0);
}

#[test]
fn a_program_without_a_runtime_does_the_whole_job() {
    work();
}

#[test]
fn threads_work_side_by_side() {
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(work)).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// Blocks the runtime's thread, and neither panics nor waits for itself.
#[tokio::test]
async fn inside_of_a_runtime_with_one_thread() {
    work();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_of_a_runtime_with_threads() {
    tokio::spawn(async { work() }).await.unwrap();
    tokio::task::spawn_blocking(work).await.unwrap();
}

#[test]
fn a_handler_that_blocks_may_fail_and_panic() {
    let (service, _client, lab) = lab();
    let inbox = inbox(&lab).failure_delays(Duration::ZERO, Duration::ZERO);
    let (done, all_done) = tokio::sync::oneshot::channel();
    let done = std::sync::Mutex::new(Some(done));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let files = tempfile::tempdir().unwrap();
    let path = files.path().to_owned();
    inbox
        .for_each_until(
            async { all_done.await.unwrap() },
            handler(move |delivery| {
                match counted.fetch_add(1, Ordering::SeqCst) {
                    0 => return Err("the disk is full".into()),
                    1 => panic!("a mistake"),
                    _ => {}
                }
                delivery.download_all(&path).wait()?;
                if counted.load(Ordering::SeqCst) == 4 {
                    let done = done.lock().unwrap().take();
                    done.unwrap().send(()).unwrap();
                }
                Ok(())
            }),
        )
        .wait()
        .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    assert_eq!(inbox.stats().wait().unwrap().store.open, 0);
    drop(service);
}
