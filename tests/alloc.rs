//! Reading allocates nothing. A binary of its own: an allocator is global.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use lab_connector::flow::{Reading, Symbol};
use lab_connector::{History, OrderStatus};

/// Counts what this thread asks for; the test harness has threads of its own.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    let before = ASKED.get();
    run();
    ASKED.get() - before
}

#[test]
fn the_counter_counts() {
    let count = allocations(|| {
        black_box(OrderStatus::from(black_box("a status that nobody knows")));
    });
    assert_eq!(count, 1);
}

#[test]
fn one_case_at_a_time() {
    let count = allocations(|| {
        // The last ones deviate, more often than is counted fast.
        let reading = [Symbol::F, Symbol::R, Symbol::I]
            .into_iter()
            .chain([Symbol::M; 20])
            .fold(Reading::complete(), |reading, symbol| {
                reading.observe(symbol)
            });
        black_box(Reading::from_code(reading.code()).is_ok());
        black_box((reading.candidates(), reading.stages(), reading.expected()));
        black_box((reading.scenario(), reading.likely(), reading.action()));
    });
    assert_eq!(count, 0);
}

#[test]
fn known_statuses_in_any_spelling() {
    let count = allocations(|| {
        let mut reading = Reading::complete();
        for text in [
            "Ready for Download",
            "LAB_REVIEW",
            "itero milling",
            "Scanning (For the Dr)",
        ] {
            reading = reading.observe(&OrderStatus::from(black_box(text)));
        }
        black_box(reading);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_history_that_is_there() {
    let history = History::complete(["Lab Review", "On hold", "iTero Milling", "Scanning"]);
    let count = allocations(|| {
        black_box(history.read());
        black_box(history.deviations().count());
        black_box(history.readings().count());
    });
    assert_eq!(count, 0);
}
