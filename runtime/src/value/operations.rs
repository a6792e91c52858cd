//! What containers and services can be told alike: the methods of the builder.

/// The operations that containers and services share, as builder methods.
///
/// A macro rather than a trait, so that users need no import and the methods stand on the types' own pages.
macro_rules! shared_operations {
    ($example:literal) => {
        /// Sets an environment variable, from here on.
        ///
        /// A [`Secret`](crate::Secret) is delivered when a process runs and never stored.
        #[track_caller]
        pub fn env(self, key: impl Into<String>, value: impl Into<crate::EnvValue>) -> Self {
            let (key, value) = (key.into(), value.into());
            self.edit(|body| {
                body.check(crate::rules::variable(&key));
                if let crate::value::EnvValueKind::Plain(text) = &value.0 {
                    body.check(crate::arguments::variable_value(&key, text));
                }
                body.set(crate::value::Setting::Env { key, value });
            })
        }

        /// Sets a label of the containers that processes run in, from here on: what `docker ps --filter label=…` finds; and of
        /// images that a container is published as.
        /// It is no part of an identity, so a result that was kept under another label is taken all the same. Keys that
        /// start with `bowline.` are taken; Docker recommends the reverse DNS notation, `com.example.team`.
        #[track_caller]
        pub fn label(self, key: impl Into<String>, value: impl crate::Argument) -> Self {
            let (key, value) = (key.into(), value.into_argument());
            self.edit(|body| {
                body.check(crate::rules::label(&key));
                body.check(crate::arguments::text("label", &value));
                body.set(crate::value::Setting::Label { key, value });
            })
        }

        /// Says which platform's variant of the image is meant, as `os/architecture` or `os/architecture/variant` of the
        /// OCI image index: `linux/arm64`. By default it is the engine's own, and an image that is only there for
        /// another is [an error](crate::Error::PlatformNotFound). It stands before the first step, and is part of the
        /// identity.
        ///
        /// An image of another architecture runs where the engine's machine can emulate it (`binfmt_misc`, QEMU). What
        /// is pulled for it is kept beside the image that the reference means, and is found there again.
        ///
        /// ```
        /// use bowline::Container;
        /// let machine = Container::from_image("debian:12").platform("linux/arm64").exec(["uname", "-m"]);
        /// # let _ = machine;
        /// ```
        #[track_caller]
        pub fn platform(self, platform: impl Into<String>) -> Self {
            let platform = platform.into();
            self.edit(|body| {
                body.check(crate::rules::platform(&platform));
                body.push(crate::value::Op::Platform(platform));
            })
        }

        /// Sets the working directory, from here on. A relative path joins the one before it.
        #[track_caller]
        pub fn workdir(self, path: impl Into<String>) -> Self {
            let path = path.into();
            self.edit(|body| {
                body.check(crate::paths::workdir(&path));
                body.set(crate::value::Setting::Workdir(path));
            })
        }

        /// Sets the user of the processes from here on: `name`, `uid`, `name:group` or `uid:gid`.
        #[track_caller]
        pub fn user(self, user: impl Into<String>) -> Self {
            let user = user.into();
            self.edit(|body| {
                body.check(crate::arguments::user(&user));
                body.set(crate::value::Setting::User(user));
            })
        }

        /// Sets the entry point: what a service's `run` stands behind, in place of the image's entry point and command.
        /// Commands of `exec` do not use it. An empty one, `entrypoint([""; 0])`, takes the image's away.
        #[track_caller]
        pub fn entrypoint<A: crate::Argument>(self, args: impl IntoIterator<Item = A>) -> Self {
            let args: Vec<String> = args.into_iter().map(crate::arg).collect();
            self.edit(|body| {
                if !args.is_empty() {
                    body.check(crate::arguments::command("entrypoint", &args));
                }
                body.set(crate::value::Setting::Entrypoint(args));
            })
        }

        /// Sets what processes see as the name of their own host, from here on. By default that is `bowline` for a
        /// container and the content-addressed name for a service. Nobody reaches it by this name: clients `bind`.
        #[track_caller]
        pub fn with_hostname(self, name: impl Into<String>) -> Self {
            let name = name.into();
            self.edit(|body| {
                body.check(crate::arguments::own_host_name(&name));
                body.set(crate::value::Setting::Hostname(name));
            })
        }

        /// Puts an empty file system in memory at a path, for every process from here on. Each process has its own, and
        /// what is in it ends with the process: reading a path in it is an error that says so.
        #[track_caller]
        pub fn tmpfs(self, path: impl Into<String>) -> Self {
            let path = path.into();
            self.edit(|body| {
                body.check(crate::paths::mounted_path("tmpfs path", &path));
                body.push(crate::value::Op::Tmpfs(path));
            })
        }

        /// Puts a Unix socket of the engine's machine at a path, for every process from here on. What is behind it is no
        /// part of an identity; both paths are.
        #[track_caller]
        pub fn socket(self, path: impl Into<String>, host_path: impl Into<String>) -> Self {
            let (path, host) = (path.into(), host_path.into());
            self.edit(|body| {
                body.check(crate::paths::mounted_path("socket path", &path));
                body.check(crate::paths::absolute_path("socket path", &host));
                body.push(crate::value::Op::Socket { path, host });
            })
        }

        /// Writes a file (mode 0644, owner root); missing parents are made (mode 0755).
        #[track_caller]
        pub fn with_file(self, path: impl Into<String>, contents: impl AsRef<[u8]>) -> Self {
            let path = path.into();
            let contents = contents.as_ref().into();
            self.edit(|body| {
                body.check(crate::paths::placed_path("file path", &path));
                body.push(crate::value::Op::WriteFile { path, contents });
            })
        }

        /// Mounts a cache volume, a secret, or a private copy of a directory or file, for every process from here on, in
        /// the place of whatever is at the path.
        ///
        /// A cache volume keeps what is written to it, for every later run; a new one has first what is at the path. A
        /// directory or file is copied and is the container's own from here on: what later steps write there goes on with
        /// the container, as [`copy`](Self::copy) would, and is never seen by the source; what was at the path before is
        /// gone. A [`Secret`](crate::Secret) is a file in memory, mode 0400, of at most 4 MiB, which the process's user owns
        /// and nobody can write to. No result, image or cache has its contents; where nothing was at the path, results have
        /// an empty file there.
        ///
        /// Mounts are made in the order they are written, the outer before the inner. A path is mounted once. What a
        /// cache, a secret, a socket, memory, or a read-only mount has is no part of what the container leaves: to read a
        /// path in one, or to put a file there, is an error.
        ///
        /// ```
        /// use bowline::{CacheVolume, Container, Secret};
        /// let publish = Container::from_image("python:3.11")
        ///     .mount("/root/.cache/pip", CacheVolume::new("pip"))
        ///     .mount("/run/secrets/token", Secret::env("API_TOKEN"))
        ///     .shell("publish --token-file /run/secrets/token");
        /// # let _ = publish;
        /// ```
        #[track_caller]
        pub fn mount(self, path: impl Into<String>, source: impl Into<crate::Mount>) -> Self {
            self.mount_with(path.into(), source.into(), crate::model::Access::ReadWrite)
        }

        /// As [`mount`](Self::mount), but nobody can write to it: not to a cache volume, and not to a directory or
        /// file, which then is no part of what the container leaves: without it, what was at the path is there again.
        /// Writing fails with `EROFS`.
        #[track_caller]
        pub fn mount_readonly(self, path: impl Into<String>, source: impl Into<crate::Mount>) -> Self {
            self.mount_with(path.into(), source.into(), crate::model::Access::ReadOnly)
        }

        #[track_caller]
        fn mount_with(self, path: String, source: crate::Mount, access: crate::model::Access) -> Self {
            self.edit(|body| {
                body.check(crate::paths::mounted_path("mount path", &path));
                body.push(crate::value::Op::Mount { path, source, access });
            })
        }

        /// Copies a directory's contents or a file into the file system, where they stay: what the container leaves has
        /// them. Missing parents are made; what has the same name is replaced; owners and permissions are kept. A file
        /// goes to the path itself, or where that ends in `/`, into that directory under its own name.
        ///
        /// ```
        /// use bowline::Container;
        /// let build = Container::from_image("debian:12").shell("mkdir /out && date > /out/date");
        /// let serve = Container::from_image("nginx:1.22").copy("/srv/", build.file("/out/date"));
        /// # let _ = serve;
        /// ```
        #[track_caller]
        pub fn copy(self, path: impl Into<String>, source: impl Into<crate::CopySource>) -> Self {
            let (path, source) = (path.into(), source.into());
            self.edit(|body| {
                body.check(crate::paths::placed_path("copy path", &path));
                body.push(crate::value::Op::Copy { path, source });
            })
        }

        /// Binds a service: it runs, and answers to `alias`, while a process of this one runs.
        ///
        /// The alias belongs to this binding alone; another client may use it for another service.
        ///
        /// ```
        #[doc = $example]
        /// ```
        #[track_caller]
        pub fn bind(self, alias: impl Into<String>, service: &crate::Service) -> Self {
            let (alias, service) = (alias.into(), service.clone());
            self.edit(|body| {
                body.check(crate::rules::alias(&alias));
                body.push(crate::value::Op::Bind { alias, service });
            })
        }
    };
}
pub(crate) use shared_operations;
