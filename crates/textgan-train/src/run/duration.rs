//! How long a run will take, measured before it starts.

use std::time::{Duration, Instant};

use super::{Course, Run};
use crate::Result;
use crate::config::Phase;
use crate::meter::words;

impl Run<'_> {
    /// Times an update of each kind and says how long the remaining phases will take.
    ///
    /// Losses and gradients are computed and dropped, so weights, moments and streams stay as they
    /// are. Fresh weights write sentences that never end, so samples are cut here at the mean length
    /// of real ones.
    pub fn announce_duration(&mut self) -> Result<()> {
        let data = self.game.data;
        let tokens: usize = data.train.iter().map(|row| row.tokens.len()).sum();
        self.game.sample_length = Some((tokens / data.train.len()).max(1));
        let estimate = self.estimate();
        self.game.sample_length = None;
        let estimate = estimate?;
        if estimate.is_empty() {
            return Ok(());
        }
        let total = estimate.iter().map(|(_, duration)| *duration).sum();
        let parts: Vec<String> = estimate
            .iter()
            .map(|(kind, duration)| format!("{kind} {}", words(*duration)))
            .collect();
        self.progress.message(&format!(
            "training will take about {} ({})",
            words(total),
            parts.join(", ")
        ));
        Ok(())
    }

    /// The remaining phases and how long each will take.
    fn estimate(&mut self) -> Result<Vec<(&'static str, Duration)>> {
        let first = self.state.phase;
        let mut estimate = Vec::new();
        for (place, phase) in self.recipe.phases.iter().enumerate().skip(first) {
            let mut course = self.course_of(phase, &self.phase_key())?;
            let done = if place == first { self.state.phase_step } else { 0 };
            let left = course.steps.saturating_sub(done);
            let mut total = self.step_duration(phase, &mut course)? * left as u32;
            let every = match phase {
                Phase::MaximumLikelihood(phase) => phase.validate_every,
                Phase::Discriminator(_) => 0,
                Phase::Adversarial(phase) => phase.convergence.every,
            };
            if left > 0 && !matches!(phase, Phase::Discriminator(_)) {
                total +=
                    self.validation_duration()? * (1 + left.checked_div(every).unwrap_or(0)) as u32;
            }
            estimate.push((phase.kind(), total));
        }
        Ok(estimate)
    }

    /// One step: each player's update once, times how often it has one. The first update of a
    /// player warms caches and is not counted.
    fn step_duration(&self, phase: &Phase, course: &mut Course) -> Result<Duration> {
        let objective = phase.objective();
        let turns = objective.turns();
        let mut kinds = turns.clone();
        kinds.dedup();
        let mut total = Duration::ZERO;
        for player in kinds {
            let mut update = || -> Result<Duration> {
                let start = Instant::now();
                let turn = course.turn(player, &self.state, &self.phase_key(), self.game.data)?;
                objective.loss(&self.game, &turn)?.value.backward()?;
                Ok(start.elapsed())
            };
            update()?;
            let once = update()?;
            total += once * turns.iter().filter(|turn| **turn == player).count() as u32;
        }
        Ok(total)
    }

    fn validation_duration(&self) -> Result<Duration> {
        let start = Instant::now();
        self.held_out.probe(&self.game, &self.key)?;
        Ok(start.elapsed() * (self.held_out.batches() * self.recipe.train.validation_noise) as u32)
    }
}
