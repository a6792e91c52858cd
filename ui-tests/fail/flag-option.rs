use bowline::pipeline;

pipeline! {
    fn ci(
        /// Documented
        #[flag(default = "7")]
        version: &str,
        #[flag(defualt = 7)]
        misspelt: u16,
        #[flag]
        nothing: u16,
        #[flag(default = six())]
        computed: u16,
        #[flag(short = 'j')]
        taken: u16,
        #[flag(short = "v")]
        text: u16,
    ) -> Ci;

    container c { image "debian:12"; env A = version; env B = misspelt + nothing + computed + taken + text; exec ["true"]; }
}

fn main() {}
