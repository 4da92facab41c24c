//! Who runs where, in what order, and what shares a COMMIT.

use std::thread::ThreadId;

use super::*;

fn runs_on(bed: &Bed) -> ThreadId {
    bed.writer
        .run(None, |_| Ok::<_, Error>(std::thread::current().id()))
        .unwrap()
}

#[test]
fn a_lone_caller_runs_on_its_own_thread_also_after_a_load() {
    let bed = Bed::new();
    let own = std::thread::current().id();
    assert_eq!(runs_on(&bed), own);
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let queued = scope.spawn(|| (std::thread::current().id(), runs_on(&bed)));
        bed.await_pending(1);
        hold.let_go();
        let (caller, ran) = queued.join().unwrap();
        assert_ne!(ran, caller, "it ran on the writer's thread");
    });
    // The writer's thread keeps the right to write for four groups of one at most.
    let back = (0..6).any(|_| runs_on(&bed) == own);
    assert!(back, "the right to write did not come back");
}

#[test]
fn those_who_wait_share_one_commit_in_the_order_of_their_coming() {
    let bed = Bed::new();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        for id in 1..=20 {
            let bed = &bed;
            scope.spawn(move || {
                let place = bed.writer.run(None, |conn| {
                    let place = number(conn, "SELECT count(*) AS n FROM entry") + 1;
                    insert(conn, id).map(|()| place)
                });
                assert_eq!(place.unwrap(), id);
                let seen = bed.number(&format!("SELECT count(*) AS n FROM entry WHERE id = {id}"));
                assert_eq!(seen, 1, "answered before the COMMIT");
            });
            bed.await_pending(usize::try_from(id).unwrap());
        }
        hold.let_go();
    });
    assert_eq!(bed.groups.sizes(20), [20]);
    assert_eq!(bed.entries(), 20);
}

fn sizes_of(bed: &Bed, callers: i64) -> Vec<usize> {
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        for id in 1..=callers {
            scope.spawn(move || bed.writer.run(None, |conn| insert(conn, id)).unwrap());
        }
        bed.await_pending(usize::try_from(callers).unwrap());
        hold.let_go();
    });
    assert_eq!(bed.entries(), callers);
    bed.groups.sizes(usize::try_from(callers).unwrap())
}

#[test]
fn a_group_is_bounded_in_size() {
    let bed = Bed::with(|options| options.group_size = 4);
    assert_eq!(sizes_of(&bed, 10), [4, 4, 2]);
}

#[test]
fn a_group_is_bounded_in_age() {
    let bed = Bed::with(|options| options.group_age = Duration::ZERO);
    assert_eq!(sizes_of(&bed, 3), [1, 1, 1]);
}

#[test]
fn a_write_inside_a_write_is_refused_and_harms_nobody() {
    let bed = Bed::new();
    let other = Bed::new();
    let inside = |id: i64| {
        bed.writer.run(None, |conn| {
            let inner = bed.writer.run(None, |conn| insert(conn, 99));
            assert_eq!(inner.unwrap_err().kind(), ErrorKind::Nested);
            assert_eq!(
                bed.writer.close(None).unwrap_err().kind(),
                ErrorKind::Nested
            );
            // Another database is another matter.
            other.writer.run(None, |conn| insert(conn, id))?;
            insert(conn, id)
        })
    };
    inside(1).unwrap();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let queued = scope.spawn(|| inside(2));
        bed.await_pending(1);
        hold.let_go();
        queued.join().unwrap().unwrap();
    });
    assert_eq!((bed.entries(), other.entries()), (2, 2));
    bed.writer.run(None, |conn| insert(conn, 3)).unwrap();
}

#[test]
fn a_database_in_memory_has_one_connection_and_no_side_files() {
    let writer = open(
        SqliteOptions::defaults("sqlite::memory:"),
        Arc::new(NoObserver),
    );
    writer.run(None, |conn| execute(conn, SCHEMA)).unwrap();
    std::thread::scope(|scope| {
        for id in 1..=8 {
            let writer = &writer;
            scope.spawn(move || writer.run(None, |conn| insert(conn, id)).unwrap());
        }
    });
    let count = writer.run(None, |conn| {
        Ok::<_, Error>(number(conn, "SELECT count(*) AS n FROM entry"))
    });
    assert_eq!(count.unwrap(), 8);
    writer.close(None).unwrap();
}

/// Notes on which threads spans are entered.
struct Entered(Arc<Mutex<Vec<ThreadId>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Entered {
    fn on_enter(&self, _: &tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.lock().unwrap().push(std::thread::current().id());
    }
}

#[test]
fn a_closure_runs_in_its_callers_span_wherever_it_runs() {
    use tracing_subscriber::layer::SubscriberExt;
    let bed = Bed::new();
    let entered = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Entered(Arc::clone(&entered)));
    let ran = std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let queued = scope.spawn(|| {
            tracing::subscriber::with_default(subscriber, || {
                tracing::info_span!("caller").in_scope(|| runs_on(&bed))
            })
        });
        bed.await_pending(1);
        hold.let_go();
        queued.join().unwrap()
    });
    let entered = entered.lock().unwrap();
    assert_eq!((entered.len(), entered[1]), (2, ran));
}
