//! One line that says how far a loop is, how fast, and how long it will still take. On a terminal it is drawn again in its
//! place; in a pipe or a file a line appears now and then.

use crate::base::sync::Mutex;
use crate::Result;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is drawn on a terminal, and elsewhere.
const DRAWN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
const BAR: usize = 20;

struct State {
    done: u64,
    note: String,
    drawn: Option<Instant>,
    /// Characters of the line that stands there.
    shown: usize,
    ended: bool,
}

/// A loop's progress, on standard error. Any thread may tell of it.
pub struct Progress {
    description: String,
    /// 0: nobody knows.
    total: u64,
    begun: Instant,
    terminal: bool,
    state: Mutex<State>,
}

fn clock(seconds: f64) -> String {
    let s = seconds.clamp(0.0, 359_999_999.0).round() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}
fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 100.0 => format!("{r:.0}/s"),
        r if r >= 1.0 || r == 0.0 => format!("{r:.1}/s"),
        r => format!("{:.1} s each", 1.0 / r),
    }
}

impl Progress {
    pub fn new(total: u64, description: &str) -> Progress {
        let state = State { done: 0, note: String::new(), drawn: None, shown: 0, ended: false };
        let terminal = std::io::stderr().is_terminal();
        Progress { description: description.into(), total, begun: Instant::now(), terminal, state: Mutex::new(state) }
    }
    /// The line after `done` steps and so many seconds.
    fn line(&self, done: u64, note: &str, seconds: f64) -> String {
        let mut s = String::new();
        if !self.description.is_empty() {
            s += &self.description;
            s.push(' ');
        }
        let speed = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        if self.total > 0 {
            let share = (done as f64 / self.total as f64).min(1.0);
            let full = (share * BAR as f64) as usize;
            s += &format!(
                "[{}{}] {:3.0}% {done}/{} {}",
                "#".repeat(full),
                ".".repeat(BAR - full),
                (share * 100.0).floor(),
                self.total,
                rate(speed)
            );
            match (done >= self.total, done) {
                (true, _) => s += &format!(", {}", clock(seconds)),
                (_, 0) => {}
                _ => s += &format!(", {} left", clock((self.total - done) as f64 / speed.max(1e-12))),
            }
        } else {
            s += &format!("{done} {}, {}", rate(speed), clock(seconds));
        }
        if !note.is_empty() {
            s += ", ";
            s += note;
        }
        // It is one line, whatever the caller's words are.
        s.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
    fn draw(&self, state: &mut State, last: bool) {
        let line = self.line(state.done, &state.note, self.begun.elapsed().as_secs_f64());
        let length = line.chars().count();
        let rest = " ".repeat(state.shown.saturating_sub(length));
        // Nobody reads it where standard error is closed.
        let _ = match (self.terminal, last) {
            (true, false) => write!(std::io::stderr(), "\r{line}{rest}"),
            (true, true) => writeln!(std::io::stderr(), "\r{line}{rest}"),
            (false, _) => writeln!(std::io::stderr(), "{line}"),
        };
        state.shown = length;
    }
    /// `steps` more are done. `note`: what to say behind, like the loss.
    pub fn update(&self, steps: u64, note: Option<&str>) -> Result<()> {
        let mut state = self.state.lock();
        state.done = state.done.saturating_add(steps);
        if let Some(note) = note {
            state.note.clear();
            state.note.push_str(note);
        }
        let patience = DRAWN[!self.terminal as usize];
        if !state.ended && state.drawn.unwrap_or(self.begun).elapsed() >= patience {
            state.drawn = Some(Instant::now());
            self.draw(&mut state, false);
        }
        Ok(())
    }
    /// The last line; nothing is drawn after it, nor at all where nothing was done.
    pub fn close(&self) {
        let mut state = self.state.lock();
        if !state.ended {
            state.ended = true;
            if state.done == 0 && state.drawn.is_none() {
                return;
            }
            self.draw(&mut state, true);
        }
    }
}
impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let p = Progress::new(200, "epoch 1");
        assert_eq!(
            p.line(50, "loss 0.5\n", 10.0),
            "epoch 1 [#####...............]  25% 50/200 5.0/s, 0:30 left, loss 0.5 "
        );
        assert_eq!(p.line(200, "", 4000.0), "epoch 1 [####################] 100% 200/200 20.0 s each, 1:06:40");
        assert_eq!(p.line(0, "", 0.0), "epoch 1 [....................]   0% 0/200 0.0/s");
        let endless = Progress::new(0, "");
        assert_eq!(endless.line(500, "", 2.0), "500 250/s, 0:02");
    }
}
