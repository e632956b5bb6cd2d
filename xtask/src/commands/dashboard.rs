//! `watch --terminal`: a run in the terminal: losses, what the discriminator sees, texts, alarms; and a key that stops it
//! after a checkpoint.

use anyhow::{Context, Result};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Wrap};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use textgan_artifact::{Progress, RunDir};

use crate::stages::TRAIN;
use crate::terminal::{Terminal, one_line};

/// How often the files are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Curves of a chart.
const CURVES: usize = 5;
/// Texts that are shown.
const TEXTS: usize = 8;

/// Shows a run until a key or a signal ends it.
///
/// # Errors
/// No terminal, or a run that cannot be read.
pub fn run(path: &Path, terminal: &Terminal) -> Result<()> {
    let mut watched = Watched::new(path)?;
    let mut screen = ratatui::try_init().context("this needs a terminal: leave --terminal out")?;
    let shown = show(&mut watched, &mut screen, terminal);
    ratatui::restore();
    shown
}

fn show(
    watched: &mut Watched,
    screen: &mut ratatui::DefaultTerminal,
    terminal: &Terminal,
) -> Result<()> {
    while !terminal.stop_requested() {
        watched.look()?;
        screen.draw(|frame| watched.draw(frame))?;
        if !event::poll(TICK)? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            _ if key.kind != KeyEventKind::Press => {}
            KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
            // The terminal is raw: Ctrl-C is a key like any other.
            KeyCode::Char('c') if control => return Ok(()),
            KeyCode::Char('s') => watched.said = watched.stop(),
            _ => {}
        }
    }
    Ok(())
}

/// A line of `metrics.jsonl`, as far as it is drawn.
#[derive(Deserialize)]
struct Metrics {
    event: String,
    kind: String,
    step: u64,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    kinds: BTreeMap<String, Kind>,
}

#[derive(Deserialize)]
struct Kind {
    unit: String,
    group: String,
}

/// A line of `samples.jsonl`.
#[derive(Deserialize)]
struct Sample {
    step: u64,
    greedy: String,
}

/// A run, as far as its files have been read.
struct Watched {
    run: RunDir,
    name: String,
    metrics: Tail,
    samples: Tail,
    phase: String,
    step: u64,
    /// Curves by name, `[step, value]`, of the phase that goes on.
    curves: BTreeMap<String, Vec<(f64, f64)>>,
    kinds: BTreeMap<String, Kind>,
    texts: Vec<Sample>,
    alarms: Vec<String>,
    /// What the last key came to.
    said: String,
}

impl Watched {
    fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            run: RunDir::open(path)?,
            name: path.display().to_string(),
            metrics: Tail::default(),
            samples: Tail::default(),
            phase: String::new(),
            step: 0,
            curves: BTreeMap::new(),
            kinds: BTreeMap::new(),
            texts: Vec::new(),
            alarms: Vec::new(),
            said: String::new(),
        })
    }

    /// Reads what has been written since.
    fn look(&mut self) -> Result<()> {
        let (done, partial) = (self.run.stage_dir(TRAIN)?, self.run.partial_dir(TRAIN)?);
        let folder = if partial.is_dir() { partial } else { done };
        for line in self.metrics.lines(&folder.join("metrics.jsonl"))? {
            // Half of what a killed run wrote may stand there until it goes on.
            let Ok(line) = serde_json::from_str::<Metrics>(&line) else { continue };
            self.take(line);
        }
        for line in self.samples.lines(&folder.join("samples.jsonl"))? {
            let Ok(sample) = serde_json::from_str::<Sample>(&line) else { continue };
            if self.texts.last().is_some_and(|last| last.step != sample.step) {
                self.texts.clear();
            }
            self.texts.push(sample);
        }
        Ok(())
    }

    fn take(&mut self, line: Metrics) {
        if line.event == "begin" {
            self.curves.clear();
        }
        if line.event == "alarm" {
            self.alarms.push(format!("step {}: {}", line.step, line.note.unwrap_or_default()));
        } else {
            for (name, value) in &line.values {
                if let Some(value) = value.filter(|value| value.is_finite()) {
                    let curve = self.curves.entry(name.clone()).or_default();
                    curve.push((line.step as f64, value));
                }
            }
        }
        self.kinds.extend(line.kinds);
        (self.phase, self.step) = (line.kind.replace('-', " "), line.step);
    }

    /// Asks the process that has the run to stop, as Ctrl-C would: it saves a checkpoint first.
    fn stop(&self) -> String {
        let lock = self.run.path().join("lock");
        // Nobody has it where it can be taken; the lock is let go at once.
        if self.run.lock().is_ok() {
            return "nobody is working on this run".to_owned();
        }
        let Ok(holder) = fs::read_to_string(lock) else {
            return "its lock cannot be read".to_owned();
        };
        let holder = holder.trim();
        if holder.is_empty() || !holder.bytes().all(|byte| byte.is_ascii_digit()) {
            return "its lock names no process".to_owned();
        }
        match Command::new("kill").args(["-INT", holder]).status() {
            Ok(status) if status.success() => {
                format!(
                    "process {holder} stops after a checkpoint; the same command goes on from there"
                )
            }
            _ => format!("process {holder} cannot be reached"),
        }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let rows = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(10),
            Constraint::Length(TEXTS as u16 + 2),
            Constraint::Length(2),
        ])
        .split(frame.area());
        let head = Line::from(vec![
            Span::styled(self.name.clone(), Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!("  {}, step {}", self.phase, self.step)),
        ]);
        frame.render_widget(Paragraph::new(head), rows[0]);
        let halves = Layout::horizontal([Constraint::Ratio(1, 2); 2]).split(rows[1]);
        let likelihood = self.named(|kind| kind.unit == "nats-per-token");
        self.chart(frame, halves[0], "Losses, nats per token", &likelihood);
        let seen = self.named(|kind| kind.group == "discriminator" && kind.unit == "share");
        self.chart(frame, halves[1], "What the discriminator sees, share judged rightly", &seen);
        let texts = self.texts.iter().rev().take(TEXTS).rev();
        let texts: Vec<Line<'_>> =
            texts.map(|sample| Line::raw(one_line(&sample.greedy))).collect();
        let at =
            self.texts.last().map_or(String::new(), |sample| format!(" at step {}", sample.step));
        let block = Block::bordered().title(format!("Texts of fixed noise{at}"));
        frame.render_widget(Paragraph::new(texts).block(block), rows[2]);
        let alarms = match self.alarms.last() {
            Some(alarm) => Span::styled(format!("alarm, {alarm}  "), Style::new().fg(Color::Red)),
            None => Span::raw("no alarm  "),
        };
        let keys = Span::raw("q leaves, s stops the run after a checkpoint  ");
        let foot = Line::from(vec![alarms, keys, Span::raw(self.said.clone())]);
        frame.render_widget(Paragraph::new(foot).wrap(Wrap { trim: true }), rows[3]);
    }

    /// The curves whose kind is as asked for.
    fn named(&self, is: impl Fn(&Kind) -> bool) -> Vec<(&str, &[(f64, f64)])> {
        let of_kind = |name: &str| self.kinds.get(name).is_some_and(&is);
        let curves = self.curves.iter().filter(|(name, _)| of_kind(name));
        curves.map(|(name, points)| (name.as_str(), points.as_slice())).take(CURVES).collect()
    }

    fn chart(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: &str,
        curves: &[(&str, &[(f64, f64)])],
    ) {
        const COLOURS: [Color; CURVES] =
            [Color::Blue, Color::Yellow, Color::Cyan, Color::Magenta, Color::Green];
        let block = Block::bordered().title(title.to_owned());
        if curves.is_empty() {
            let nothing = Paragraph::new("nothing yet in this phase").block(block);
            return frame.render_widget(nothing, area);
        }
        let ends = |of: fn(&(f64, f64)) -> f64| {
            let all = curves.iter().flat_map(|(_, points)| points.iter()).map(of);
            let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
            [low, high.max(low + 1e-9)]
        };
        let (x, y) = (ends(|point| point.0), ends(|point| point.1));
        let sets = curves.iter().zip(COLOURS).map(|((name, points), colour)| {
            let last = points.last().map_or(0.0, |point| point.1);
            Dataset::default()
                .name(format!("{} {last:.3}", name.replace('_', " ")))
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(colour))
                .data(points)
        });
        let axis = |ends: [f64; 2], decimals: usize| {
            Axis::default().bounds(ends).labels(ends.map(|end| format!("{end:.decimals$}")))
        };
        let chart = Chart::new(sets.collect()).block(block).x_axis(axis(x, 0)).y_axis(axis(y, 3));
        frame.render_widget(chart, area);
    }
}

/// A growing file, read from where the last look ended.
#[derive(Default)]
struct Tail {
    path: PathBuf,
    read: u64,
    /// The beginning of a line whose end is not there yet.
    rest: String,
}

impl Tail {
    /// The whole lines since the last look; from the beginning where it is another file, or was cut.
    fn lines(&mut self, path: &Path) -> Result<Vec<String>> {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(cannot),
        };
        let length = file.metadata().with_context(cannot)?.len();
        if self.path != path || length < self.read {
            *self = Self { path: path.to_owned(), ..Self::default() };
        }
        file.seek(SeekFrom::Start(self.read)).with_context(cannot)?;
        let mut bytes = Vec::new();
        self.read += file.read_to_end(&mut bytes).with_context(cannot)? as u64;
        self.rest += &String::from_utf8_lossy(&bytes);
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let lines = self.rest[..whole].lines().map(str::to_owned).collect();
        self.rest.drain(..whole);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal as Screen;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_run_is_drawn_as_far_as_it_has_come() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let run = RunDir::create(folder.path().join("mine"))?;
        let train = run.partial_dir(TRAIN)?;
        fs::create_dir_all(&train)?;
        let mut watched = Watched::new(run.path())?;
        let mut screen = Screen::new(TestBackend::new(100, 30))?;
        let mut drawn = |watched: &mut Watched| -> Result<String> {
            watched.look()?;
            screen.draw(|frame| watched.draw(frame))?;
            Ok(screen.backend().to_string())
        };
        assert!(drawn(&mut watched)?.contains("nothing yet in this phase"));
        let line = r#"{"event":"train","phase":0,"kind":"maximum-likelihood","step":10,"values":{"nll":2.5},"kinds":{"nll":{"unit":"nats-per-token","group":"likelihood"}}}"#;
        let alarm =
            r#"{"event":"alarm","kind":"maximum-likelihood","step":11,"note":"collapse: report"}"#;
        fs::write(train.join("metrics.jsonl"), format!("{line}\n{alarm}\n{{\"event\":\"tr"))?;
        fs::write(train.join("samples.jsonl"), "{\"step\":10,\"greedy\":\"a \\u001b[31mdog\"}\n")?;
        let screen = drawn(&mut watched)?;
        for expected in ["maximum likelihood, step 11", "nll 2.500", "collapse: report", "dog"] {
            assert!(screen.contains(expected), "{expected}: {screen}");
        }
        assert!(!screen.contains('\u{1b}'), "what a terminal obeys is not shown");
        assert!(watched.stop().contains("nobody"));
        // A file that was cut is read anew.
        fs::write(train.join("metrics.jsonl"), line.replace("2.5", "1.25") + "\n")?;
        assert!(drawn(&mut watched)?.contains("nll 1.250"));
        Ok(())
    }
}
