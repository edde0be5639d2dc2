//! What a command is busy with, shown once it takes longer than a second and somebody watches.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(120);

/// Some work under way. The bar is cleared when this is dropped.
#[derive(Debug)]
pub(crate) struct Activity {
    bar: ProgressBar,
    /// Ends the thread that waits to show the bar.
    done: Option<mpsc::Sender<()>>,
    waiter: Option<thread::JoinHandle<()>>,
}

impl Activity {
    /// Work of unknown size, such as `reading input`.
    pub(crate) fn start(what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        let (done, finished) = mpsc::channel();
        let waiting = bar.clone();
        let waiter = thread::Builder::new().name("progress".to_owned()).spawn(move || {
            if finished.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Draws only where stderr is a terminal.
                waiting.set_draw_target(ProgressDrawTarget::stderr());
                waiting.enable_steady_tick(TICK);
            }
        });
        Self { bar, done: Some(done), waiter: waiter.ok() }
    }

    /// Says how far the work is: `done` of `total`.
    pub(crate) fn advance(&self, done: usize, total: usize) {
        if self.bar.length() != Some(total as u64) {
            self.bar.set_length(total as u64);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} {eta}") {
                self.bar.set_style(style);
            }
        }
        self.bar.set_position(done as u64);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
        self.bar.finish_and_clear();
    }
}
