use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis {
            image;
            expose ;
            run
        }
        dir source = ;
        container ping {
            image
            bind as "srv";
            mount at "/x";
            env A = ;
            exec
        }
    };
    let _ = p;
}
