//! What tests look at from outside of a pipeline, and what they may expect there: the same questions to every engine.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// The engine under test. It knows sessions by their ids and services by their host names.
pub trait Inspector: Sync {
    /// What a test that is skipped names it by.
    fn name(&self) -> &'static str;

    /// The names of a session's containers, sorted; of those that have ended, too, where it still has them. Each ends in
    /// its host name.
    fn containers(&self, session: &str) -> Vec<String>;

    /// Those of them that have a running process.
    fn running(&self, session: &str) -> Vec<String>;

    /// All that is left of a session: containers, networks, files.
    fn remains(&self, session: &str) -> Vec<String>;

    /// The address of a service that runs.
    fn address(&self, session: &str, hostname: &str) -> Option<String>;

    /// Makes an empty file in a running service's file system.
    fn touch(&self, session: &str, hostname: &str, path: &str);

    /// Whether a running service has something at a path.
    fn has(&self, session: &str, hostname: &str, path: &str) -> bool;

    /// How many containers a session has created since a time; none where nobody counts them.
    fn created_since(&self, session: &str, since: SystemTime) -> Option<usize>;

    /// What has a text in it of all that can be asked for of a session's containers: how they were made, and their files.
    fn holding(&self, session: &str, text: &str) -> Vec<String>;

    /// How much of what is kept of steps that wrote this has a text in it; of all steps, where it is kept in one place.
    fn kept(&self, stdout: &str, text: &str) -> usize;

    /// How often it has asked a registry for an image since a time; none where only the registry knows.
    fn pulls(&self, registry: &str, since: SystemTime) -> Option<usize>;

    /// Whether an image that it pulled has its name for everybody who asks the docker command line.
    fn names_images(&self) -> bool;

    /// Removes what it has loaded of images that are files.
    fn forget_loaded(&self);

    /// The names that it gave to what it has exported, and did not take back.
    fn exported(&self) -> Vec<String>;

    /// Whether what it exports is an OCI layout, too, and the same each time, byte for byte.
    fn exports_layouts(&self) -> bool;

    /// Whether it begins to send to a registry only what is missing there, without asking for more to be taken over.
    fn sends_only_what_is_missing(&self) -> bool;

    /// Whether a new directory in the place of one that was removed may have the old one's files, when it is read again.
    fn may_forget_removals(&self) -> bool;

    /// Whether services end by themselves once their program has, and it does not wait for them.
    fn ends_services(&self) -> bool;

    /// Whether the doctor finds that it can do all that the tests need.
    fn is_well(&self, diagnosis: &str) -> bool;

    /// What runs the program of an image without any pipeline, by the shortest way that there is for its output. The program
    /// has been taken out of the image.
    fn bare(&self, image: &str, program: &Path) -> Command;

    /// Why a test cannot take ten seconds, where that is so.
    fn lacks_time(&self) -> Option<&'static str>;

    /// Why containers cannot be limited, where that is so.
    fn lacks_limits(&self) -> Option<&'static str>;
}
