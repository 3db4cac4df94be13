//! Progress: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two plain lines.
const LINES: Duration = Duration::from_secs(5);

/// How far something is, on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: Option<u64>,
    done: u64,
    said: Instant,
}

impl Progress {
    /// Begins; without a total a spinner is shown.
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match total {
                Some(total) => (ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len} {eta}"),
                None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
            };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, what, total, done: 0, said: Instant::now() }
    }

    /// `done` of the total are done.
    pub fn set(&mut self, done: u64) {
        self.done = done;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.said.elapsed() >= LINES => {
                self.said = Instant::now();
                match self.total {
                    Some(total) => eprintln!("{}: {done} of {total}", self.what),
                    None => eprintln!("{}: {done}", self.what),
                }
            }
            None => {}
        }
    }

    /// One more is done.
    pub fn tick(&mut self) {
        self.set(self.done + 1);
    }

    /// What is going on now.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("{text}"),
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Ends; the bar goes away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
