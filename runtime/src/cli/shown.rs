//! What the flags say about progress: the choices that the environment makes otherwise. The room `report` decides what
//! they mean.

use std::sync::OnceLock;

/// `--progress`, `--color`, and how many `-v` there are more than `-q`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    pub(crate) progress: Option<Progress>,
    pub(crate) colour: Option<Colour>,
    pub(crate) verbosity: i16,
}

macro_rules! words {
    ($(#[$docs:meta])* $name:ident { $($variant:ident = $word:literal),* }) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($variant),* }

        impl $name {
            pub(crate) const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub(crate) fn of(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.word() == word)
            }
        }
    };
}
words!(/// As `BOWLINE_PROGRESS`.
    Progress { Auto = "auto", Plain = "plain", Quiet = "quiet" });
words!(/// As `NO_COLOR` and `CLICOLOR_FORCE`.
    Colour { Auto = "auto", Always = "always", Never = "never" });

static CHOSEN: OnceLock<Shown> = OnceLock::new();

/// Remembers what the command line of this process says.
pub(super) fn choose(shown: Shown) {
    let _ = CHOSEN.set(shown);
}

/// What the command line of this process says, if it has one.
pub(crate) fn chosen() -> Shown {
    CHOSEN.get().copied().unwrap_or_default()
}
