//! Processes that work on one run together.
//!
//! They all run the same program with the same arguments, and meet where one needs what another has. One of them, of
//! rank 0, *leads*: it alone writes. How they reach each other is a [`Wire`], an engine such as MPI; what is here is what
//! all of them say over it, and what happens when one cannot go on: the others are told at their next meeting, and end
//! with its words instead of waiting for ever.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// How the processes of a team reach each other. All of them call the same methods in the same order.
pub trait Wire: Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Gives everyone what each has brought, in the order of ranks; they may bring different lengths.
    ///
    /// # Errors
    /// When another is out of reach.
    fn gather(&self, mine: Vec<u8>) -> io::Result<Vec<Vec<u8>>>;

    /// Hands part `i` to rank `i`, and returns what each has handed to this process, in the order of ranks.
    ///
    /// # Errors
    /// When another is out of reach.
    fn exchange(&self, parts: Vec<Vec<u8>>) -> io::Result<Vec<Vec<u8>>>;
}

/// The processes that work on a run; mostly one alone, which then never waits and copies nothing.
#[derive(Default)]
pub struct Team {
    wire: Option<Box<dyn Wire>>,
}

/// Nobody else.
pub static ALONE: Team = Team { wire: None };

/// How a message begins.
const WELL: u8 = 1;
const FAILED: u8 = 0;

impl Team {
    /// The processes that `wire` reaches.
    pub fn over(wire: impl Wire + 'static) -> Self {
        Self { wire: Some(Box::new(wire)) }
    }

    /// `size` teammates for as many threads of one process: for tests, and to see what a team does without an
    /// engine.
    pub fn of_threads(size: usize) -> Vec<Self> {
        let hall = Arc::new(Hall::default());
        hall.seats().brought.resize(size, None);
        (0..size).map(|rank| Self::over(Thread { rank, size, hall: hall.clone() })).collect()
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.wire.as_ref().map_or(0, |wire| wire.rank())
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.wire.as_ref().map_or(1, |wire| wire.size())
    }

    /// Whether this one writes the files and speaks to the user.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// Which of `items` things in a row belong to process `rank`: a contiguous part, none larger than another by more
    /// than one.
    pub fn part(&self, rank: usize, items: usize) -> std::ops::Range<usize> {
        let cut = |rank: usize| rank * items / self.size();
        cut(rank)..cut(rank + 1)
    }

    /// Gives everyone what each has brought to the meeting of this name, in the order of ranks.
    ///
    /// # Errors
    /// When another process has failed, is out of reach, or has come to another meeting.
    pub fn gather(&self, meeting: &str, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(wire) = &self.wire else { return Ok(vec![mine.to_vec()]) };
        let mut message = Vec::with_capacity(mine.len() + meeting.len() + 9);
        message.push(WELL);
        message.extend((meeting.len() as u64).to_le_bytes());
        message.extend(meeting.as_bytes());
        message.extend(mine);
        let mut found = wire.gather(message).map_err(unreachable)?;
        for (rank, message) in found.iter_mut().enumerate() {
            let (name, from) = match message.split_first() {
                Some((&WELL, rest)) => named(rest).ok_or_else(|| mumble(rank))?,
                Some((&FAILED, problem)) => {
                    let problem = String::from_utf8_lossy(problem).into_owned();
                    return Err(Error::Teammate { rank, problem });
                }
                _ => return Err(mumble(rank)),
            };
            if name != meeting.as_bytes() {
                let problem = format!(
                    "it came to the meeting {:?} while this one came to {meeting:?}; they must run the same program with the same arguments, and make the same steps",
                    String::from_utf8_lossy(name)
                );
                return Err(Error::Teammate { rank, problem });
            }
            message.drain(..from);
        }
        Ok(found)
    }

    /// Hands part `i` to rank `i`, and returns what each has handed to this process, in the order of ranks.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    ///
    /// # Panics
    /// If there is not one part for each.
    pub fn exchange(&self, meeting: &str, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        assert_eq!(parts.len(), self.size(), "one part for each process");
        let Some(wire) = &self.wire else { return Ok(parts) };
        // Those that failed say so in a gathering, where everyone hears it.
        self.gather(meeting, &[])?;
        wire.exchange(parts).map_err(unreachable)
    }

    /// Waits until all have come.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn wait(&self, meeting: &str) -> Result<()> {
        self.gather(meeting, &[]).map(|_| ())
    }

    /// Whether `flag` is set in any of the processes.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn any(&self, meeting: &str, flag: bool) -> Result<bool> {
        Ok(match self.wire {
            None => flag,
            Some(_) => self.gather(meeting, &[flag.into()])?.iter().any(|flag| flag == &[1]),
        })
    }

    /// Gives everyone what each has brought, as values.
    ///
    /// # Errors
    /// As [`gather`](Self::gather), and if the values cannot be sent.
    pub fn share<T: Serialize + DeserializeOwned>(&self, meeting: &str, mine: T) -> Result<Vec<T>> {
        if self.wire.is_none() {
            return Ok(vec![mine]);
        }
        // Unlike JSON, CBOR has numbers that are none, and gives back every bit of the others.
        let mut bytes = Vec::new();
        ciborium::into_writer(&mine, &mut bytes).map_err(|error| Error::Teammate {
            rank: self.rank(),
            problem: format!("what it brought to {meeting:?} cannot be sent: {error}"),
        })?;
        let found = self.gather(meeting, &bytes)?;
        let value = |(rank, bytes): (usize, &Vec<u8>)| {
            ciborium::from_reader(&bytes[..]).map_err(|error| Error::Teammate {
                rank,
                problem: format!("what it brought to {meeting:?} is not understood: {error}"),
            })
        };
        found.iter().enumerate().map(value).collect()
    }

    /// Works out `items` values, each once, by the processes in turn; everyone gets all, in order.
    ///
    /// # Errors
    /// What `work` says, of this process or another, and as [`gather`](Self::gather).
    pub fn map<T, E>(
        &self,
        meeting: &str,
        items: usize,
        work: impl FnMut(usize) -> Result<T, E>,
    ) -> Result<Vec<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let mine = (self.rank()..items).step_by(self.size());
        let mine: Vec<T> = mine.map(work).collect::<Result<_, E>>()?;
        let mut all: Vec<_> = self.share(meeting, mine)?.into_iter().map(Vec::into_iter).collect();
        Ok((0..items).filter_map(|item| all[item % self.size()].next()).collect())
    }

    /// Refuses processors of different kinds: a result would depend on who worked it out.
    ///
    /// # Errors
    /// The first process whose instruction set is not that of rank 0, and as [`gather`](Self::gather).
    pub fn check_processors(&self) -> Result<()> {
        let all = self.share("processors", crate::instruction_set().to_owned())?;
        match all.iter().position(|other| *other != all[0]) {
            None => Ok(()),
            Some(rank) => {
                let problem = format!(
                    "its processor has {} and that of process 0 {}: run on processors of one kind",
                    all[rank], all[0]
                );
                Err(Error::Teammate { rank, problem })
            }
        }
    }

    /// Tells everyone what rank 0 knows; the others bring nothing.
    ///
    /// # Errors
    /// As [`gather`](Self::gather), and if the value cannot be sent.
    pub fn tell<T: Serialize + DeserializeOwned>(
        &self,
        meeting: &str,
        value: Option<T>,
    ) -> Result<T> {
        // Not an option: there is one word for nothing, whatever it is nothing of.
        let told: Vec<T> = value.into_iter().collect();
        let told = self.share(meeting, told)?.into_iter().flatten().next();
        let problem = || "it had nothing to tell".to_owned();
        told.ok_or_else(|| Error::Teammate { rank: 0, problem: problem() })
    }

    /// Tells the others, at the meeting that they come to next, that this process cannot go on with what they do together,
    /// and why: their meeting fails, and this process has been to it.
    pub fn fail(&self, problem: &str) {
        if let Some(wire) = &self.wire {
            let mut message = vec![FAILED];
            message.extend(problem.as_bytes());
            // Those who do not hear it are not there any more.
            let _ = wire.gather(message);
        }
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {}", self.rank(), self.size())
    }
}

/// The name of a meeting, and where after it the message begins, the mark before it included.
fn named(rest: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    Some((rest.get(..length)?, 9 + length))
}

fn mumble(rank: usize) -> Error {
    Error::Teammate { rank, problem: "what it says is not understood".to_owned() }
}

fn unreachable(source: io::Error) -> Error {
    Error::Io { action: "reach", path: "the other processes".into(), source }
}

/// Where the threads of a process meet.
#[derive(Default)]
struct Hall {
    seats: Mutex<Seats>,
    moved: Condvar,
}

#[derive(Default)]
struct Seats {
    /// What each has brought to this meeting, a part for each.
    brought: Vec<Option<Vec<Vec<u8>>>>,
    /// How many have taken theirs.
    taken: usize,
    /// Somebody has left for good.
    gone: bool,
}

impl Hall {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, seats: MutexGuard<'s, Seats>) -> MutexGuard<'s, Seats> {
        self.moved.wait(seats).unwrap_or_else(PoisonError::into_inner)
    }
}

struct Thread {
    rank: usize,
    size: usize,
    hall: Arc<Hall>,
}

impl Wire for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, mine: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
        self.exchange(vec![mine; self.size])
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
        let mut seats = self.hall.seats();
        let left = || io::Error::new(io::ErrorKind::BrokenPipe, "one of them has left");
        // The others may still be taking what the last meeting gave them.
        while seats.brought[self.rank].is_some() {
            seats = self.hall.wait(seats);
        }
        seats.brought[self.rank] = Some(parts);
        self.hall.moved.notify_all();
        while seats.brought.iter().any(Option::is_none) {
            if seats.gone {
                seats.brought[self.rank] = None;
                return Err(left());
            }
            seats = self.hall.wait(seats);
        }
        let mine =
            seats.brought.iter_mut().flatten().map(|parts| std::mem::take(&mut parts[self.rank]));
        let mine = mine.collect();
        seats.taken += 1;
        if seats.taken == self.size {
            seats.taken = 0;
            seats.brought.fill(None);
            self.hall.moved.notify_all();
        }
        Ok(mine)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.hall.seats().gone = true;
        self.hall.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `work` in every thread of a team.
    fn in_team<T: Send>(size: usize, work: impl Fn(Team) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                Team::of_threads(size).into_iter().map(|team| scope.spawn(|| work(team))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    #[test]
    fn everyone_gets_all_in_the_order_of_ranks() {
        for size in 1..6 {
            let found = in_team(size, |team| -> Result<_> {
                let rank = team.rank() as u8;
                for round in 0..50 {
                    let all = team.gather("bytes", &vec![rank; round])?;
                    assert!(all.iter().enumerate().all(|(from, x)| *x == vec![from as u8; round]));
                }
                let parts = (0..size).map(|to| vec![rank, to as u8]).collect();
                let got = team.exchange("parts", parts)?;
                assert!(got.iter().enumerate().all(|(from, x)| *x == [from as u8, rank]));
                let squares = team.map("squares", 7, |i| Ok::<_, Error>(i * i))?;
                let odd = [f64::NAN, f64::NEG_INFINITY, 0.1, -0.0, 1e-310];
                let all = team.share("odd numbers", odd)?;
                assert!(all.iter().all(|x| x.map(f64::to_bits) == odd.map(f64::to_bits)));
                let told: String = team.tell("name", team.leads().then(|| "zero".to_owned()))?;
                let any = team.any("flag", team.rank() + 1 == size)?;
                Ok((squares, told, any, team.any("none", false)?))
            });
            let expected = (vec![0, 1, 4, 9, 16, 25, 36], "zero".to_owned(), true, false);
            assert_eq!(found.len(), size);
            assert!(
                found.iter().all(|found| found.as_ref().is_ok_and(|found| *found == expected)),
                "{found:?}"
            );
        }
        assert_eq!(ALONE.map("alone", 3, Ok::<_, Error>).ok(), Some(vec![0, 1, 2]));
    }

    #[test]
    fn parts_are_all_there_is_and_as_large_as_each_other() {
        for size in 1..6 {
            let team = &Team::of_threads(size)[0];
            for items in 0..20 {
                let parts: Vec<_> = (0..size).map(|rank| team.part(rank, items)).collect();
                let all: Vec<usize> = parts.iter().cloned().flatten().collect();
                assert_eq!(all, (0..items).collect::<Vec<_>>());
                let sizes = parts.iter().map(|part| part.len());
                assert!(sizes.clone().max().unwrap_or(0) <= sizes.min().unwrap_or(0) + 1);
            }
        }
    }

    /// Nobody waits for one that cannot go on, has left, or is elsewhere; all say which it is.
    #[test]
    fn a_failure_is_heard_by_all() {
        let failed = in_team(3, |team| match team.rank() {
            1 => {
                team.fail("its disk is full");
                String::new()
            }
            _ => team.exchange("sums", vec![vec![]; 3]).expect_err("one failed").to_string(),
        });
        for rank in [0, 2] {
            assert_eq!(failed[rank], "process 1 of this run failed: its disk is full");
        }
        let left = in_team(2, |team| {
            (team.rank() == 0).then(|| {
                let alone = team.wait("the end").is_err();
                team.fail("nobody hears this");
                alone
            })
        });
        assert_eq!(left[0], Some(true));
        let elsewhere = in_team(2, |team| {
            let meeting = ["here", "there"][team.rank()];
            team.wait(meeting).expect_err("they are not at one place").to_string()
        });
        assert!(
            elsewhere[0].contains("\"there\"") && elsewhere[0].contains("\"here\""),
            "{elsewhere:?}"
        );
    }
}
