use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            sysctl "vm.swappiness" = 10;
            sysctl "kernel.shmmx" = 10;
            sysctl "net/core/somaxconn" = 10;
            sysctl "net.ipv6.conf.all.disable_ipv6" = 0;
            sysctl "kernel.hostname" = "a";
            exec ["true"];
        }
    };
    let _ = p;
}
