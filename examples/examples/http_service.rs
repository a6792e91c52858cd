//! A web server as a service, and two ways to what it serves: a client's output, and a file that a client exports.

use bowline::prelude::*;

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        /// Serves one page.
        service web {
            image "python:3.11";
            file "/srv/index.html" = "Hello, world!\n";
            workdir "/srv";
            run ["python", "-m", "http.server", "8080"];
            expose 8080 as http;
        }
        container fetch {
            image "python:3.11";
            bind web as "www";
            exec ["python", "-c", "import urllib.request as u; print(u.urlopen('http://www:8080/').read().decode(), end='')"];
        }
        container download {
            image "python:3.11";
            bind web as "www";
            exec ["python", "-c", "import urllib.request as u; u.urlretrieve('http://www:8080/', '/tmp/index.html')"];
            export "/tmp/index.html" as page;
        }
    };
    print!("{}", p.fetch.stdout().await?);
    // The binding belongs to the step: asking for the file starts the service that the step needs.
    print!("{}", p.download.page().contents().await?);
    println!("in clients of web it is {}", p.web.http().with_scheme("http"));
    Ok(())
}
