use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image 5 +;
            run ["a" "b"];
            expose (80 +) as http;
        }
        container ping {
            image format!("a") b;
            for x on 0..5 { exec ["true"]; }
            if { exec ["true"]; }
            match x { 1 + => {} _ => {} }
            let = 5;
        }
    };
    let _ = p;
}
