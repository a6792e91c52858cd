//! What processes of containers and services may do, and how much they may use: methods of the builder.
//!
//! A setting is one method here: what it takes, the rule for that, and the field that it sets ([`Limits`],
//! [`SecurityContext`]); the models say how settings add up.
//!
//! [`Limits`]: crate::model::Limits
//! [`SecurityContext`]: crate::model::SecurityContext

/// As [`shared_operations`](super::operations::shared_operations).
macro_rules! confinement_operations {
    () => {
        /// Gives processes all of the engine's rights from here on: for what needs a kernel's, such as mounting. They
        /// can then do to the engine's machine whatever they like.
        #[track_caller]
        pub fn privileged(self) -> Self {
            self.edit(|body| body.secure(|security| security.privileged = true))
        }

        /// Gives processes a capability from here on: one of capabilities(7), with `CAP_` before it or without, or `ALL`. Of
        /// each capability the last that is said counts, here and by [`cap_drop`](Self::cap_drop), so that
        /// `cap_drop("ALL").cap_add("CHOWN")` leaves one. Root has it, and programs may give it to others; a
        /// [`user`](Self::user) that is not root has none by itself. It is a part of the identity.
        ///
        /// With Docker it is a capability over the engine's machine: who has `SYS_ADMIN`, `SYS_MODULE`, `SYS_RAWIO`,
        /// `SYS_PTRACE`, `DAC_READ_SEARCH` or the like can do to it whatever they want. The native engine gives `NET_ADMIN`,
        /// `SYS_ADMIN`, `SYS_PTRACE`, `DAC_READ_SEARCH` and `CHECKPOINT_RESTORE` over the container alone
        /// (`user_namespaces(7)`), where they do nothing to the machine or to other containers: one can mount there, but no
        /// devices. Others are power over the machine there too: it gives them where the pipeline is root and has them
        /// itself, and not together with one of these five. What an engine cannot give is an error when the process is
        /// started, and names it.
        ///
        /// ```
        /// use bowline::Container;
        /// let setup = Container::from_image("busybox:1.35")
        ///     .cap_add("NET_ADMIN")
        ///     .shell("ip link add test0 type dummy && ip link set test0 up");
        /// # let _ = setup;
        /// ```
        #[track_caller]
        pub fn cap_add(self, capability: impl AsRef<str>) -> Self {
            self.edit(|body| body.change_capability(capability.as_ref(), crate::model::Grant::Added))
        }

        /// Takes a capability away from processes from here on, or `ALL`: from root, and from what programs can give. For
        /// the rest see [`cap_add`](Self::cap_add). With [`privileged`](Self::privileged), which has all, it is a mistake.
        ///
        /// ```
        /// use bowline::Service;
        /// let web = Service::from_image("nginx:1.22").cap_drop("NET_RAW").cap_drop("SYS_CHROOT").expose(80);
        /// # let _ = web;
        /// ```
        #[track_caller]
        pub fn cap_drop(self, capability: impl AsRef<str>) -> Self {
            self.edit(|body| body.change_capability(capability.as_ref(), crate::model::Grant::Dropped))
        }

        /// Limits each process from here on to so many processors: `0.5` is half of one's time. As all limits
        /// it is part of an identity only where a command may fail ([`Expect`](crate::Expect)): there the end that it
        /// brings is a result; else it cannot change one, only when it is there.
        #[track_caller]
        pub fn limit_cpu(self, processors: f64) -> Self {
            self.edit(|body| {
                if processors.is_finite() && processors >= 0.01 {
                    body.limit(|limits| limits.cpu = Some(processors));
                } else {
                    body.invalid(format!("`limit cpu` of {processors} processors: at least 0.01 are needed"));
                }
            })
        }

        /// Limits the memory of each process from here on, with those that it starts: `"512MiB"`, or a number of bytes.
        /// The kernel kills what takes more. What it is to identities, [`limit_cpu`](Self::limit_cpu)
        /// says.
        #[track_caller]
        pub fn limit_memory(self, size: impl crate::IntoSize) -> Self {
            let size = size.into_size();
            self.edit(|body| body.limit_bytes(size, crate::sizes::memory, |limits| &mut limits.memory))
        }

        /// Limits how many processes and threads each process may have from here on, itself and those that it starts
        /// counted, and one that the engine has before it: 2 to 4,194,304. What would be one more cannot be started:
        /// `EAGAIN`. What it is to identities, [`limit_cpu`](Self::limit_cpu) says.
        ///
        /// ```
        /// use bowline::Container;
        /// let tests = Container::from_image("python:3.11").limit_pids(256).exec(["python3", "-m", "unittest"]);
        /// # let _ = tests;
        /// ```
        #[track_caller]
        pub fn limit_pids(self, number: u32) -> Self {
            self.edit(|body| {
                body.check(crate::sizes::pids(number.into()));
                body.limit(|limits| limits.pids = Some(number));
            })
        }

        /// Limits how many files each process may have open from here on (`RLIMIT_NOFILE`, both the soft and the hard
        /// limit): 1 to as many as the engine may allow, where more are an error when the process is started. By
        /// default it is the engine's limit. What it is to identities, [`limit_cpu`](Self::limit_cpu) says.
        ///
        /// ```
        /// use bowline::Service;
        /// let db = Service::from_image("postgres:15").limit_nofile(65_536).expose(5432);
        /// # let _ = db;
        /// ```
        #[track_caller]
        pub fn limit_nofile(self, number: u32) -> Self {
            self.edit(|body| {
                body.check(crate::sizes::nofile(number.into()));
                body.limit(|limits| limits.nofile = Some(number));
            })
        }

        /// Limits the core file of each process that dies of a signal, from here on (`RLIMIT_CORE`, both the soft and the
        /// hard limit): `"0"` for none, `"64MiB"`, or a number of bytes. What would be larger is cut off. By default the
        /// limit is the engine's: with Docker that of its service, which has none mostly, without a daemon 0, which a
        /// process may raise for itself. Where the file goes the machine says (`kernel.core_pattern`, core(5)): by a
        /// relative name, to the process's directory, and so into what the container leaves. More than the engine may
        /// allow is an error when the process is started. What it is to identities,
        /// [`limit_cpu`](Self::limit_cpu) says.
        ///
        /// ```
        /// use bowline::Container;
        /// let tests = Container::from_image("python:3.11").limit_core("0").exec(["python3", "-m", "unittest"]);
        /// # let _ = tests;
        /// ```
        #[track_caller]
        pub fn limit_core(self, size: impl crate::IntoSize) -> Self {
            let size = size.into_size();
            self.edit(|body| body.limit_bytes(size, crate::sizes::core, |limits| &mut limits.core))
        }

        /// Says how much may be at `/dev/shm` from here on, for each container together: `"256MiB"`, or a number of bytes, at
        /// least 4096; 64 MiB by default, as Docker has it. There programs share memory by name (`shm_overview(7)`), as
        /// databases and browsers do; what is more fails with `ENOSPC` or `SIGBUS`. What is there counts as memory
        /// ([`limit_memory`](Self::limit_memory)). What is mounted at `/dev/shm` takes its place. What it is to
        /// identities, [`limit_cpu`](Self::limit_cpu) says.
        ///
        /// ```
        /// use bowline::Service;
        /// let db = Service::from_image("postgres:15").shm("256MiB").expose(5432);
        /// # let _ = db;
        /// ```
        #[track_caller]
        pub fn shm(self, size: impl crate::IntoSize) -> Self {
            let size = size.into_size();
            self.edit(|body| body.limit_bytes(size, crate::sizes::shm, |limits| &mut limits.shm))
        }

        /// Sets one of the kernel's settings (sysctl(8)) for processes from here on, before they start: one that a
        /// container has for itself, which are those of `net.` and `fs.mqueue.`, `kernel.sem`, `kernel.msgmax`,
        /// `kernel.msgmnb`, `kernel.msgmni`, `kernel.shmall`, `kernel.shmmax`, `kernel.shmmni` and
        /// `kernel.shm_rmid_forced`, as with `docker run --sysctl`. All others are the machine's, and a mistake; so are
        /// those that keep containers from posing as routers (`accept_redirects`, `disable_ipv6` and their like). What the
        /// kernel does not have, or does not take, is an error when the process is started.
        /// It is a part of the identity.
        ///
        /// ```
        /// use bowline::Service;
        /// let web = Service::from_image("nginx:1.22").sysctl("net.core.somaxconn", 1024).expose(80);
        /// # let _ = web;
        /// ```
        #[track_caller]
        pub fn sysctl(self, name: impl Into<String>, value: impl crate::Argument) -> Self {
            let (name, value) = (name.into(), value.into_argument());
            self.edit(|body| {
                body.check(crate::arguments::sysctl(&name));
                body.check(crate::arguments::sysctl_value(&name, &value));
                body.secure(|security| drop(security.sysctls.insert(name, value)));
            })
        }
    };
}
pub(crate) use confinement_operations;
