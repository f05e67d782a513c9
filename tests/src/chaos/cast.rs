//! The processes of a run: who is there, who is frozen, and what may become of them.

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;

use super::plan::Program;
use crate::{
    pipe::Pipe,
    process::{Ended, Process},
};

/// What a processor says that was overtaken: it ends by itself, and whoever runs it starts it again.
const OVERTAKEN: &str = "another processor has taken over the state";
/// What a connector says whose name was taken twice: it was frozen longer than its session again and again.
const FENCED: &str = "is another connector's now";

/// All processes of one program, the oldest first.
pub(super) struct Cast {
    program: Program,
    members: Vec<Member>,
    started: u32,
    /// How many were overtaken.
    pub(super) overtaken: u32,
}

struct Member {
    process: Process,
    frozen: bool,
    /// It was frozen once.
    thawed: bool,
}

impl Cast {
    /// With one member.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn new(pipe: &Pipe, program: Program) -> Result<Self> {
        let mut cast = Self { program, members: Vec::new(), started: 0, overtaken: 0 };
        cast.join(pipe)?;
        Ok(cast)
    }

    /// One more; a connector is a member of its own in the group.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn join(&mut self, pipe: &Pipe) -> Result<()> {
        self.started += 1;
        let name = format!("member-{}", self.started);
        self.start(pipe, &name)
    }

    fn start(&mut self, pipe: &Pipe, name: &str) -> Result<()> {
        let process = match self.program {
            Program::Connector => {
                pipe.start_with(&["connector"], &[("AQUEDUCT__KAFKA__GROUP_INSTANCE_ID", name)])?
            }
            Program::Processor => pipe.start(&["processor"])?,
        };
        self.members.push(Member { process, frozen: false, thawed: false });
        Ok(())
    }

    /// SIGKILL to the oldest that is awake, and a new one.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(super) fn kill(&mut self, pipe: &Pipe) -> Result<()> {
        if let Some(oldest) = self.members.iter().position(|member| !member.frozen) {
            self.members.remove(oldest).process.kill()?;
        }
        self.join(pipe)
    }

    /// SIGSTOP to the oldest that is awake.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn freeze(&mut self) -> Result<()> {
        let Some(oldest) = self.members.iter_mut().find(|member| !member.frozen) else { return Ok(()) };
        oldest.frozen = true;
        oldest.process.signal(Signal::SIGSTOP)
    }

    /// SIGCONT to all that were stopped.
    ///
    /// # Errors
    /// One is gone.
    pub(super) fn thaw(&mut self) -> Result<()> {
        for member in self.members.iter_mut().filter(|member| member.frozen) {
            (member.frozen, member.thawed) = (false, true);
            member.process.signal(Signal::SIGCONT)?;
        }
        Ok(())
    }

    /// SIGTERM to the newest that is awake, unless it is the only one. It ends in its own time.
    ///
    /// # Errors
    /// It is gone, or ends otherwise than with 0.
    pub(super) fn leave(&mut self) -> Result<()> {
        if self.members.iter().filter(|member| !member.frozen).count() < 2 {
            return Ok(());
        }
        let newest = self.members.iter().rposition(|member| !member.frozen);
        let Some(newest) = newest else { return Ok(()) };
        let mut member = self.members.remove(newest);
        // A program that has said nothing yet has not learnt to listen either.
        member.process.says("metrics and probes")?;
        member.process.stop().map(drop)
    }

    /// Looks after those that ended by themselves: who was overtaken is replaced, anything else is a
    /// failure.
    ///
    /// # Errors
    /// A program ended that should not have.
    pub(super) fn look_after(&mut self, pipe: &Pipe) -> Result<()> {
        let mut n = 0;
        while n < self.members.len() {
            let Some(ended) = self.members[n].process.has_ended()? else {
                n += 1;
                continue;
            };
            let thawed = self.members.remove(n).thawed;
            self.judge(&ended, thawed)?;
            self.join(pipe)?;
        }
        Ok(())
    }

    fn judge(&mut self, ended: &Ended, thawed: bool) -> Result<()> {
        let Ended { code, err, .. } = ended;
        let overtaken = match self.program {
            Program::Processor => err.contains(OVERTAKEN),
            Program::Connector => thawed && err.contains(FENCED),
        };
        if overtaken {
            ensure!(*code == Some(1), "an overtaken {:?} ended with {code:?}", self.program);
            self.overtaken += 1;
            return Ok(());
        }
        bail!("a {:?} ended by itself with {code:?}:\n{err}", self.program)
    }

    /// SIGTERM to all, which must end them with 0.
    ///
    /// # Errors
    /// One ends otherwise.
    pub(super) fn stop(&mut self) -> Result<()> {
        // The newest first: a stand-by that goes last would take over for a moment.
        while let Some(mut member) = self.members.pop() {
            member.process.stop()?;
        }
        Ok(())
    }
}
