//! The processes of a run: who is there, who is frozen, and what may become of them.

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;

use super::plan::{Action, Program};
use crate::{
    pipe::Pipe,
    process::{Ended, Process},
};

/// What a processor says that was overtaken: it ends by itself, and whoever runs it starts it again.
const OVERTAKEN: &str = "another processor has taken over the state";
/// What a connector says whose name was taken twice: it was frozen longer than its session again and again.
const FENCED: &str = "is another connector's now";

/// What a processor says that ends because of a full disk.
const FULL: [&str; 2] = ["no space is left for the state", "the disk is full or fails"];
/// What a processor says whose state or database is gone.
const GONE: &str = "deleted, moved or replaced";
/// What a processor says once it is not a stand-by.
const HOLDS: &str = "this processor holds the state";
/// What is said by a program that listens, to signals too.
const LISTENS: &str = "metrics and probes";

/// All processes of one program, the oldest first.
pub(super) struct Cast {
    program: Program,
    members: Vec<Member>,
    started: u32,
    /// Connectors are static members of their group.
    static_members: bool,
    /// The most bytes that a file of theirs can have.
    room: Option<u64>,
    /// A disk was full: who ended at it may be noticed when there is room again.
    was_full: bool,
    /// How many were overtaken.
    pub(super) overtaken: u32,
    /// How many waited or ended at a full disk.
    pub(super) starved: u32,
}

struct Member {
    name: String,
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
    pub(super) fn new(pipe: &Pipe, program: Program, static_members: bool) -> Result<Self> {
        let mut cast = Self {
            program,
            members: Vec::new(),
            started: 0,
            static_members,
            room: None,
            was_full: false,
            overtaken: 0,
            starved: 0,
        };
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
        let name = if self.static_members { name } else { String::new() };
        self.start(pipe, name)
    }

    fn start(&mut self, pipe: &Pipe, name: String) -> Result<()> {
        let process = match self.program {
            Program::Connector => {
                pipe.start_with(&["connector"], &[("AQUEDUCT__KAFKA__GROUP_INSTANCE_ID", &name)])?
            }
            Program::Processor => pipe.start_limitable(&["processor"])?,
        };
        if self.room.is_some() {
            process.limit_files(self.room)?;
        }
        self.members.push(Member { name, process, frozen: false, thawed: false });
        Ok(())
    }

    /// One of the actions that name a program.
    ///
    /// # Errors
    /// As those below.
    pub(super) fn perform(&mut self, pipe: &Pipe, action: Action) -> Result<()> {
        match action {
            Action::Kill(_) => self.kill(pipe),
            Action::Freeze(_) => self.freeze(),
            Action::Thaw(_) => self.thaw(),
            Action::Join(_) => self.join(pipe),
            Action::Leave(_) => self.leave(),
            other => bail!("{other:?} is not done to a program"),
        }
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
        member.process.says(LISTENS)?;
        member.process.stop().map(drop)
    }

    /// Restarts all that are awake, one after the other and under their names, as a rolling update does.
    ///
    /// # Errors
    /// One ends otherwise than with 0, and was not overtaken.
    pub(super) fn roll(&mut self, pipe: &Pipe) -> Result<()> {
        self.look_after(pipe)?;
        let (frozen, awake) = self.members.drain(..).partition(|member| member.frozen);
        self.members = frozen;
        let awake: Vec<Member> = awake;
        for mut member in awake {
            member.process.says(LISTENS)?;
            member.process.signal(Signal::SIGTERM)?;
            let ended = member.process.ended()?;
            if ended.code != Some(0) {
                self.judge(&ended, member.thawed)?;
            }
            self.start(pipe, member.name)?;
        }
        Ok(())
    }

    /// Does something that must end the processor by itself, undoes it, and starts another one. Whether the ended one
    /// acknowledged or wrote anything in between is seen at the end: the pipe would not be exact.
    ///
    /// # Errors
    /// It goes on, or ends otherwise.
    pub(super) fn lose(
        &mut self,
        pipe: &Pipe,
        harm: impl FnOnce() -> Result<()>,
        undo: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.look_after(pipe)?;
        // A stand-by would take over without what is lost, and start from nothing.
        let awake = |member: &Member| !member.frozen;
        let holder =
            self.members.iter().rposition(|member| awake(member) && member.process.err().contains(HOLDS));
        if let Some(holder) = holder {
            self.members = vec![self.members.swap_remove(holder)];
        } else {
            self.members.clear();
            self.join(pipe)?;
        }
        let mut member = self.members.remove(0);
        member.process.says(HOLDS)?;
        harm()?;
        let ended = member.process.ended()?;
        ensure!(
            ended.code == Some(1) && ended.err.contains(GONE),
            "the processor ended with {:?}:\n{}",
            ended.code,
            ended.err
        );
        undo()?;
        self.join(pipe)
    }

    /// From now on no file of theirs can have more bytes; or any number again.
    ///
    /// # Errors
    /// One cannot be limited.
    pub(super) fn limit(&mut self, pipe: &Pipe, room: Option<u64>) -> Result<()> {
        self.was_full |= room.is_some();
        self.room = room;
        self.look_after(pipe)?;
        self.starved +=
            u32::try_from(self.members.iter().filter(|one| is_starved(&one.process.err())).count())?;
        self.members.iter().try_for_each(|member| member.process.limit_files(room))
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
        if self.was_full && *code == Some(1) && is_starved(err) {
            self.starved += 1;
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

fn is_starved(err: &str) -> bool {
    FULL.iter().any(|text| err.contains(text))
}
