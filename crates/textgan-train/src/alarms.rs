//! Signs that adversarial training has gone wrong, watched for at each evaluation.

use serde::{Deserialize, Serialize};

use crate::config::{AlarmAction, Alarms};

/// What the alarms remember between evaluations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Distinct bigrams at the phase's beginning, as a fraction of all.
    first_distinct: Option<f64>,
    /// Evaluations in a row at which the discriminator was too good.
    won_for: u32,
}

/// An alarm that rings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// Its name in `metrics.jsonl`.
    pub name: &'static str,
    /// What happened, for a reader.
    pub message: String,
    /// What is to be done.
    pub action: AlarmAction,
    /// What was measured.
    pub value: f64,
}

impl Watch {
    /// Looks at one evaluation: the fraction of `distinct` bigrams among the samples, the
    /// discriminator's recent `accuracy` if it was updated at all, and how well it tells damaged text
    /// (`auc`).
    pub fn look(
        &mut self,
        alarms: &Alarms,
        distinct: f64,
        accuracy: Option<f64>,
        auc: Option<f64>,
    ) -> Vec<Alarm> {
        let mut ringing = Vec::new();
        let first = *self.first_distinct.get_or_insert(distinct);
        if distinct < alarms.collapse.distinct_bigrams_below * first {
            ringing.push(Alarm {
                name: "collapse",
                message: format!(
                    "the generator is collapsing: {:.1} % of the bigrams in its samples are distinct, \
                     {:.1} % when the phase began",
                    100.0 * distinct,
                    100.0 * first
                ),
                action: alarms.collapse.action,
                value: distinct,
            });
        }
        if let Some(auc) = auc.filter(|&auc| auc < alarms.discriminator_blind.auc_below) {
            ringing.push(Alarm {
                name: "discriminator-blind",
                message: format!(
                    "the discriminator has learned nothing yet: it ranks real text above damaged text \
                     in {:.0} % of pairs, and 50 % is guessing",
                    100.0 * auc
                ),
                action: alarms.discriminator_blind.action,
                value: auc,
            });
        }
        let bound = alarms.discriminator_won.accuracy_above;
        self.won_for =
            if accuracy.is_some_and(|accuracy| accuracy > bound) { self.won_for + 1 } else { 0 };
        if self.won_for > 0 && self.won_for >= alarms.discriminator_won.for_evaluations {
            let accuracy = accuracy.unwrap_or_default();
            ringing.push(Alarm {
                name: "discriminator-won",
                message: format!(
                    "the discriminator has won: {:.1} % right, at {} evaluations in a row",
                    100.0 * accuracy,
                    self.won_for
                ),
                action: alarms.discriminator_won.action,
                value: accuracy,
            });
        }
        ringing
    }

    /// After a roll-back the discriminator's run of victories starts over.
    pub fn forgive(&mut self) {
        self.won_for = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BlindAlarm, CollapseAlarm, WonAlarm};

    fn names(ringing: &[Alarm]) -> Vec<&'static str> {
        ringing.iter().map(|alarm| alarm.name).collect()
    }

    fn alarms() -> Alarms {
        Alarms {
            collapse: CollapseAlarm { distinct_bigrams_below: 0.5, action: AlarmAction::Stop },
            discriminator_won: WonAlarm {
                accuracy_above: 0.9,
                for_evaluations: 2,
                action: AlarmAction::RollBack,
            },
            discriminator_blind: BlindAlarm { auc_below: 0.6, action: AlarmAction::Report },
        }
    }

    #[test]
    fn a_blind_discriminator_is_named() {
        let mut watch = Watch::default();
        assert!(watch.look(&alarms(), 1.0, None, Some(0.6)).is_empty());
        assert_eq!(names(&watch.look(&alarms(), 1.0, None, Some(0.5))), ["discriminator-blind"]);
    }

    #[test]
    fn collapse_is_measured_against_the_beginning() {
        let mut watch = Watch::default();
        assert!(watch.look(&alarms(), 0.4, None, None).is_empty());
        assert!(watch.look(&alarms(), 0.2, None, None).is_empty(), "half is not below half");
        let ringing = watch.look(&alarms(), 0.19, None, None);
        assert_eq!(names(&ringing), ["collapse"]);
        assert_eq!(ringing[0].action, AlarmAction::Stop);
    }

    #[test]
    fn the_discriminator_wins_only_in_a_row() {
        let mut watch = Watch::default();
        let mut look = |accuracy| names(&watch.look(&alarms(), 1.0, Some(accuracy), None));
        assert!(look(0.95).is_empty());
        assert!(look(0.5).is_empty());
        assert!(look(0.95).is_empty());
        assert_eq!(look(0.95), ["discriminator-won"]);
        watch.forgive();
        assert!(watch.look(&alarms(), 1.0, Some(0.95), None).is_empty());
        assert_eq!(watch.look(&alarms(), 0.0, Some(0.95), None).len(), 2);
    }
}
