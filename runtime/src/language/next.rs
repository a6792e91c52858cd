//! Which words may stand at some place inside of a statement, for editors to complete exactly those.

macro_rules! places {
    ($($place:ident = $source:ident::{$($word:ident),*};)*) => { $(
        pub mod $place {
            pub use super::super::$source::{$($word),*};
            /// Where nothing stands yet.
            #[doc(hidden)]
            #[allow(non_camel_case_types)]
            #[derive(Debug)]
            pub struct __end;
        }
    )* };
}

places! {
    alias = word::{r#as};
    at = word::{at};
    to = word::{to};
    readonly = word::{readonly};
    sharing = word::{locked, private};
    port = word::{r#as, on, unprobed};
    named_port = word::{on, unprobed};
    on_host = word::{host};
    host_port = word::{unprobed};
    protocol = word::{tcp, udp};
    http = word::{on, within};
    log = word::{times, within};
    within = word::{within};
    cap = word::{add, drop};
    limit = word::{cpu, memory, pids, nofile, core};
    option = option::{stdin, expect, timeout, stdout, stderr, fresh, uncached};
    expectation = word::{success, failure, any};
}
