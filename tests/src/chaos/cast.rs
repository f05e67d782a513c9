//! The processes of a run, and the actions on them.

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;

use super::plan::{Action, Program};
use crate::{
    pipe::Pipe,
    process::{Ended, Process},
};

/// The error of a processor that was overtaken. It exits, and its supervisor restarts it.
const OVERTAKEN: &str = "another processor took over the state";
/// The error of a connector that was fenced twice, because it was suspended for longer than its session repeatedly.
const FENCED: &str = "another connector joined group";

/// The errors of a processor that exits because of a full disk.
const FULL: [&str; 2] = ["no space left for the state", "disk full or I/O error"];
/// The errors of a processor whose state or database was removed.
const GONE: &str = "deleted, moved or replaced";
/// The log line of a processor that is not a standby any more.
const HOLDS: &str = "this processor holds the state";
/// The log line after which a program handles signals.
const LISTENS: &str = "metrics and probes";

/// All processes of one program, oldest first.
pub(super) struct Cast {
    program: Program,
    members: Vec<Member>,
    started: u32,
    /// Connectors are static members of their group.
    static_members: bool,
    /// The maximum file size of the processes.
    room: Option<u64>,
    /// The disk was full. A process that exited because of it may be noticed once there is space again.
    was_full: bool,
    /// Number of processes that were overtaken.
    pub(super) overtaken: u32,
    /// Number of processes that waited or exited because of a full disk.
    pub(super) starved: u32,
}

struct Member {
    name: String,
    process: Process,
    frozen: bool,
    /// It was suspended at least once.
    thawed: bool,
}

impl Cast {
    /// Starts one process.
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

    /// Starts one more; each connector is a separate member of the group.
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

    /// Runs an action on a program.
    ///
    /// # Errors
    /// As the methods below.
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

    /// Sends SIGKILL to the oldest running process, and starts a new one.
    ///
    /// # Errors
    /// It had already exited.
    pub(super) fn kill(&mut self, pipe: &Pipe) -> Result<()> {
        if let Some(oldest) = self.members.iter().position(|member| !member.frozen) {
            self.members.remove(oldest).process.kill()?;
        }
        self.join(pipe)
    }

    /// SIGSTOP to the oldest that is awake.
    ///
    /// # Errors
    /// It has exited.
    pub(super) fn freeze(&mut self) -> Result<()> {
        let Some(oldest) = self.members.iter_mut().find(|member| !member.frozen) else { return Ok(()) };
        oldest.frozen = true;
        oldest.process.signal(Signal::SIGSTOP)
    }

    /// Sends SIGCONT to all suspended processes.
    ///
    /// # Errors
    /// One has exited.
    pub(super) fn thaw(&mut self) -> Result<()> {
        for member in self.members.iter_mut().filter(|member| member.frozen) {
            (member.frozen, member.thawed) = (false, true);
            member.process.signal(Signal::SIGCONT)?;
        }
        Ok(())
    }

    /// Sends SIGTERM to the newest running process, unless it is the only one. It exits in its own time.
    ///
    /// # Errors
    /// It has exited, or its exit code is not 0.
    pub(super) fn leave(&mut self) -> Result<()> {
        if self.members.iter().filter(|member| !member.frozen).count() < 2 {
            return Ok(());
        }
        let newest = self.members.iter().rposition(|member| !member.frozen);
        let Some(newest) = newest else { return Ok(()) };
        let mut member = self.members.remove(newest);
        // A program without any output does not handle signals yet.
        member.process.says(LISTENS)?;
        member.process.stop().map(drop)
    }

    /// Restarts all running processes one after the other with the same names, as a rolling update does.
    ///
    /// # Errors
    /// One exits with an error, and was not overtaken.
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

    /// Does something that must end the processor, undoes it, and starts another one. Whether the first one
    /// acknowledged or wrote anything in between shows at the end: the result would not be exact.
    ///
    /// # Errors
    /// It keeps running, or ends with another error.
    pub(super) fn lose(
        &mut self,
        pipe: &Pipe,
        harm: impl FnOnce() -> Result<()>,
        undo: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.look_after(pipe)?;
        // A standby would take over without the lost state, and start empty.
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

    /// Limits the file size of the processes, or removes the limit.
    ///
    /// # Errors
    /// The limit cannot be set.
    pub(super) fn limit(&mut self, pipe: &Pipe, room: Option<u64>) -> Result<()> {
        self.was_full |= room.is_some();
        self.room = room;
        self.look_after(pipe)?;
        self.starved +=
            u32::try_from(self.members.iter().filter(|one| is_starved(&one.process.err())).count())?;
        self.members.iter().try_for_each(|member| member.process.limit_files(room))
    }

    /// Checks for exited processes: those that were overtaken are replaced, anything else is a failure.
    ///
    /// # Errors
    /// A process exited unexpectedly.
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

    /// Sends SIGTERM to all processes, which must exit with 0.
    ///
    /// # Errors
    /// One exits with another code.
    pub(super) fn stop(&mut self) -> Result<()> {
        // Newest first: a standby that exits last would take over for a moment.
        while let Some(mut member) = self.members.pop() {
            member.process.stop()?;
        }
        Ok(())
    }
}

fn is_starved(err: &str) -> bool {
    FULL.iter().any(|text| err.contains(text))
}
