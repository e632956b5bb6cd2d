//! Whether a run fits the machine, asked before its tensors exist.

use textgan_artifact::Progress;

use crate::data::TrainData;
use crate::objective::Plan;
use crate::{Error, Result};

const MIB: u64 = 1 << 20;

/// Says how much memory a run needs, and refuses one that needs more than the machine has.
pub(crate) fn check(plan: &Plan<'_>, data: &TrainData<'_>, progress: &dyn Progress) -> Result<()> {
    let needed = estimate(plan, data)?;
    progress.message(&format!("training needs about {} MiB of memory", needed.div_ceil(MIB)));
    match machine() {
        Some(machine) if needed > machine => {
            Err(Error::Memory { needed_mib: needed.div_ceil(MIB), machine_mib: machine / MIB })
        }
        _ => Ok(()),
    }
}

/// Bytes: of each parameter its weight, gradient, two moments and an average; and what a step of the
/// largest batch keeps for its backward pass.
fn estimate(plan: &Plan<'_>, data: &TrainData<'_>) -> Result<u64> {
    let sizes = plan.sizes(data);
    let (batch, time) = (plan.train.batch_size, data.max_length.saturating_add(1));
    let mut parameters = plan.generator.parameter_count(plan.noise, &sizes)?;
    let mut activations = plan.generator.activation_estimate(batch, time);
    if let Some(config) = plan.discriminator {
        parameters = parameters.saturating_add(config.parameter_count(&sizes)?);
        // Real and generated text are read in the same graph.
        activations =
            activations.saturating_add(config.activation_estimate(batch, time).saturating_mul(2));
    }
    let mut declared = 0;
    for phase in &plan.phases {
        declared = declared.max(phase.objective.declared_parameters(plan, &sizes)?);
    }
    // Each replica has a gradient until all have come, and in a team a copy of it.
    let replicas = match plan.train.replicas {
        1 => 0,
        replicas => 2 * replicas as u64,
    };
    Ok(parameters
        .saturating_add(declared)
        .saturating_mul(replicas.saturating_add(5))
        .saturating_add(activations)
        .saturating_mul(size_of::<f32>() as u64))
}

/// Bytes this process may use: the machine's memory, or its control group's if that is less.
fn machine() -> Option<u64> {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    [total, group].into_iter().flatten().min()
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read() {
        assert_eq!(total_memory("MemTotal:       24567 kB\nMemFree:  1 kB\n"), Some(24567 * 1024));
        assert_eq!(total_memory("nothing"), None);
    }
}
