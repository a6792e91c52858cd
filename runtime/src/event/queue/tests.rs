use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::{Emitter, LineCutter, Observer, Outcome, Span, Subject};
use super::*;

/// The events that an observer has received.
type Heard = Arc<Mutex<Vec<EventKind>>>;

fn span() -> Arc<Span> {
    Arc::new(Span::root(Emitter::new("test".into(), None)))
}

fn kinds(heard: &Heard) -> Vec<EventKind> {
    heard.lock().unwrap().clone()
}

fn batch(lines: std::ops::Range<u64>) -> LineBatch {
    let mut text: Vec<String> = lines.map(|line| line.to_string()).collect();
    text.push(String::new());
    LineCutter::default().push(text.join("\n").as_bytes())
}

#[tokio::test]
async fn a_slow_observer_misses_lines_and_knows_how_many_but_no_state() {
    let (heard, (go, wait)) = (Heard::default(), mpsc::channel::<()>());
    let (into, wait) = (heard.clone(), Mutex::new(wait));
    let span = span();
    let hear = move |event: &Event| {
        if event.kind == EventKind::Opened {
            wait.lock().unwrap().recv().unwrap();
        }
        into.lock().unwrap().push(event.kind.clone());
    };
    let handle = span.observe(hear).unwrap();
    span.open();
    let began = Instant::now();
    for round in 0..300 {
        span.lines(Stream::Stdout, batch(round * 1000..(round + 1) * 1000));
        if round % 100 == 50 {
            span.emit(|| EventKind::Cached);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    go.send(()).unwrap();
    span.close(|| Outcome::Succeeded);
    handle.remove().await;
    let (mut next, mut missing, mut states) = (0, 0, 0);
    for kind in kinds(&heard) {
        match kind {
            EventKind::Output { line, .. } => {
                // The gap is reported before the lines that follow it.
                assert_eq!(line.parse::<u64>().unwrap(), next);
                next += 1;
            }
            EventKind::OutputDropped { lines } => {
                next += lines;
                missing += lines;
            }
            _ => states += 1,
        }
    }
    assert_eq!((next, states), (300_000, 5));
    assert!(missing >= 300_000 - LINES as u64, "{missing}");
}

#[tokio::test]
async fn lines_that_come_together_are_heard_however_many_they_are() {
    let heard = Arc::new(AtomicU64::new(0));
    let into = heard.clone();
    let span = span();
    let handle = span
        .observe(move |_: &Event| {
            into.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    span.lines(Stream::Stderr, batch(0..2 * LINES as u64));
    handle.remove().await;
    assert_eq!(heard.load(Ordering::Relaxed), 2 * LINES as u64);
}

#[tokio::test]
async fn an_observer_that_panics_is_not_called_again_and_others_are() {
    let (heard, calls) = (Heard::default(), Arc::new(AtomicU64::new(0)));
    let (into, counted) = (heard.clone(), calls.clone());
    let span = span();
    let broken = span
        .observe(move |_: &Event| {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("as the test wants it");
        })
        .unwrap();
    let other = span.observe(move |event: &Event| into.lock().unwrap().push(event.kind.clone())).unwrap();
    span.open();
    span.emit(|| EventKind::Cached);
    span.heard().await;
    span.emit(|| EventKind::Stored);
    broken.remove().await;
    other.remove().await;
    span.emit(|| EventKind::Starting);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(kinds(&heard), [EventKind::Opened, EventKind::Cached, EventKind::Stored]);
}

#[tokio::test]
async fn what_is_dropped_unclosed_was_cancelled_and_closes_once() {
    let heard = Heard::default();
    let into = heard.clone();
    let span = span();
    let hear = move |event: &Event| {
        if event.subject != Subject::Session {
            assert!(event.parent.is_some());
            into.lock().unwrap().push(event.kind.clone());
        }
    };
    let handle = span.observe(hear).unwrap();
    let image = || span.child(Subject::Image { name: "a".into() });
    drop(image());
    let other = image();
    other.close_with::<(), &str>(&Err("no"));
    other.close_with::<(), &str>(&Ok(()));
    drop(other);
    handle.remove().await;
    let closed = [Outcome::Cancelled, Outcome::Failed { error: "no".into() }].map(EventKind::Closed);
    let [one, two] = closed;
    assert_eq!(kinds(&heard), [EventKind::Opened, one, EventKind::Opened, two]);
}

#[tokio::test]
async fn the_end_does_not_wait_for_an_observer_that_hangs() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let span = span();
    let hear = move |_: &Event| assert!(wait.lock().unwrap().recv().is_err());
    drop(span.observe(hear).unwrap());
    span.open();
    let began = Instant::now();
    span.heard().await;
    let took = began.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    drop(go);
}

/// The bound is a microsecond for each; this build is not optimised, and the machine may be busy.
#[test]
fn what_nobody_observes_costs_next_to_nothing() {
    const EVENTS: u32 = 1_000_000;
    let span = span();
    let began = Instant::now();
    for number in 0..EVENTS {
        span.emit(|| EventKind::warning(format!("{number}")));
    }
    let took = began.elapsed() / EVENTS;
    println!("{took:?} an event");
    assert!(took < Duration::from_micros(1), "{took:?}");
}

/// How many events there are, and how many there were when the observer was idle last.
#[derive(Default)]
struct Idle(Mutex<(usize, usize)>);

impl Observer for Arc<Idle> {
    fn on_event(&self, _: &Event) {
        self.0.lock().unwrap().0 += 1;
    }

    fn on_idle(&self) {
        let counts = &mut *self.0.lock().unwrap();
        counts.1 = counts.0;
    }
}

#[tokio::test]
async fn an_observer_knows_when_it_has_heard_everything_so_far() {
    let idle = Arc::<Idle>::default();
    let span = span();
    let handle = span.observe(idle.clone()).unwrap();
    span.open();
    span.lines(Stream::Stdout, batch(0..10));
    let began = Instant::now();
    while *idle.0.lock().unwrap() != (11, 11) {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", idle.0);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Whoever waits for it finds written what it has buffered.
    span.close(|| Outcome::Succeeded);
    span.heard().await;
    assert_eq!(*idle.0.lock().unwrap(), (12, 12));
    handle.remove().await;
}
