//! Processes that reach each other by MPI.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use textgan_artifact::Wire;

/// This process among those that `mpirun` has started. MPI is spoken to by one thread of its own, as MPI asks for; it is
/// said good-bye to when this is dropped.
pub struct Mpi {
    rank: usize,
    size: usize,
    /// In a lock, so that one message is under way at a time.
    line: Mutex<Line>,
    thread: Option<JoinHandle<()>>,
}

struct Line {
    /// Absent once it is closed.
    asks: Option<Sender<Ask>>,
    answers: Receiver<io::Result<Vec<Vec<u8>>>>,
}

enum Ask {
    Gather(Vec<u8>),
    Exchange(Vec<Vec<u8>>),
}

impl Mpi {
    /// Joins the others, so that there are `expected`.
    ///
    /// # Errors
    /// When MPI cannot be started, or is not that of who started them.
    pub fn join(expected: usize) -> Result<Self> {
        let ((asks, asked), (answer, answers), (begun, begins)) = (channel(), channel(), channel());
        let thread = std::thread::spawn(move || {
            // Dropping the universe takes leave of the others.
            let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
                return;
            };
            let world = universe.world();
            if begun.send((world.rank(), world.size())).is_err() {
                return;
            }
            for ask in asked {
                let found = match ask {
                    Ask::Gather(mine) => gather(&world, &mine),
                    Ask::Exchange(parts) => exchange(&world, &parts),
                };
                if answer.send(found).is_err() {
                    return;
                }
            }
        });
        let (rank, size) = begins.recv().context("MPI cannot be started")?;
        anyhow::ensure!(
            usize::try_from(size)? == expected,
            "{expected} processes were started, and this program's MPI sees {size}: start them by the mpirun of the MPI that it \
             was built with"
        );
        let line = Mutex::new(Line { asks: Some(asks), answers });
        Ok(Self {
            rank: usize::try_from(rank)?,
            size: usize::try_from(size)?,
            line,
            thread: Some(thread),
        })
    }

    fn ask(&self, ask: Ask) -> io::Result<Vec<Vec<u8>>> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "MPI has ended");
        line.asks.as_ref().ok_or_else(gone)?.send(ask).map_err(|_| gone())?;
        line.answers.recv().map_err(|_| gone())?
    }
}

impl Wire for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, mine: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
        self.ask(Ask::Gather(mine))
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
        self.ask(Ask::Exchange(parts))
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // To take leave would be to wait for the others, who wait for this one: `mpirun` ends them.
            std::process::abort();
        }
        self.line.get_mut().unwrap_or_else(PoisonError::into_inner).asks = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say any more.
            let _ = thread.join();
        }
    }
}

fn gather(world: &SimpleCommunicator, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut lengths = vec![0u64; processes(world)];
    world.all_gather_into(&(mine.len() as u64), &mut lengths[..]);
    let (counts, places, total) = layout(&lengths)?;
    let mut all = vec![0u8; total];
    world.all_gather_varcount_into(
        mine,
        &mut PartitionMut::new(&mut all[..], &counts[..], &places[..]),
    );
    Ok(cut(&all, &lengths))
}

fn exchange(world: &SimpleCommunicator, parts: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
    let ours: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
    let mut theirs = vec![0u64; processes(world)];
    world.all_to_all_into(&ours[..], &mut theirs[..]);
    let (sent_counts, sent_places, _) = layout(&ours)?;
    let (counts, places, total) = layout(&theirs)?;
    let (sent, mut all) = (parts.concat(), vec![0u8; total]);
    world.all_to_all_varcount_into(
        &Partition::new(&sent[..], &sent_counts[..], &sent_places[..]),
        &mut PartitionMut::new(&mut all[..], &counts[..], &places[..]),
    );
    Ok(cut(&all, &theirs))
}

fn processes(world: &SimpleCommunicator) -> usize {
    usize::try_from(world.size()).unwrap_or(0)
}

/// How messages of these lengths lie behind each other: MPI counts in `i32`.
fn layout(lengths: &[u64]) -> io::Result<(Vec<i32>, Vec<i32>, usize)> {
    let total: u64 = lengths.iter().sum();
    let count = |length: u64| {
        i32::try_from(length).map_err(|_| {
            let problem =
                format!("{total} bytes in one message are more than the 2 GiB that MPI takes");
            io::Error::new(io::ErrorKind::InvalidInput, problem)
        })
    };
    count(total)?;
    let counts = lengths.iter().map(|&length| count(length)).collect::<io::Result<Vec<i32>>>()?;
    let places = counts.iter().scan(0, |place, count| {
        let here = *place;
        *place += count;
        Some(here)
    });
    Ok((counts.clone(), places.collect(), total as usize))
}

fn cut(all: &[u8], lengths: &[u64]) -> Vec<Vec<u8>> {
    let mut rest = all;
    let part = |&length: &u64| {
        let (part, after) = rest.split_at(length as usize);
        rest = after;
        part.to_vec()
    };
    lengths.iter().map(part).collect()
}
