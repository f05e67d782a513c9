"""How commands are run and processes ended: what must hold whatever the services are. Needs nothing but Python."""

import hashlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from contextlib import redirect_stderr
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import fleet  # noqa: E402
import process  # noqa: E402
import registry  # noqa: E402
import runner  # noqa: E402
import signals  # noqa: E402
import state  # noqa: E402
from layout import Fail  # noqa: E402

# The runner as `run` uses it, with nothing to start.
RUN = "import runner, signals, sys; signals.install(); sys.exit(runner.run(sys.argv[1:], {'ADDRESS': 'here'}))"


class Folder(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)

    def until(self, holds):
        deadline = time.monotonic() + 30
        while not holds():
            self.assertLess(time.monotonic(), deadline, "the condition did not come true")
            time.sleep(0.02)

    def pid_in(self, name: str) -> int:
        """Of a process that writes its pid into that file."""
        path = self.folder / name
        self.until(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())


class Run(Folder):
    def start(self, script: str, **options) -> subprocess.Popen:
        argv = [sys.executable, "-c", RUN, "bash", "-c", script]
        return subprocess.Popen(argv, cwd=self.folder, env={**os.environ, "PYTHONPATH": str(HERE)}, **options)

    def check(self, script: str, code: int):
        self.assertEqual(self.start(script).wait(), code)

    def test_exit_code_is_the_commands(self):
        self.check("exit 0", 0)
        self.check("exit 7", 7)
        self.check("kill -KILL $$", 128 + signal.SIGKILL)

    def test_the_addresses_are_in_the_environment(self):
        self.check('test "$ADDRESS" = here', 0)

    def test_a_command_that_does_not_exist_is_one_line(self):
        with self.assertRaisesRegex(Fail, "^/no/such cannot be started: No such file or directory$"):
            runner.run(["/no/such"], {})

    def test_what_the_command_leaves_behind_is_ended(self):
        self.check("sleep 600 & echo $! > left", 0)
        left = process.Identity.of(self.pid_in("left"))
        self.until(lambda: not left.alive())

    def test_a_signal_ends_the_whole_command(self):
        for signum in signals.CAUGHT:
            with self.subTest(signum):
                (self.folder / "child").unlink(missing_ok=True)
                running = self.start("sleep 600 & echo $! > child; wait")
                child = process.Identity.of(self.pid_in("child"))
                running.send_signal(signum)
                self.assertEqual(running.wait(), 128 + signum)
                self.until(lambda: not child.alive())

    def test_a_command_that_ignores_signals_dies_at_the_second(self):
        script = "trap 'touch interrupted' INT; echo $$ > child; while :; do sleep 0.1; done"
        running = self.start(script, stderr=subprocess.PIPE)
        child = process.Identity.of(self.pid_in("child"))
        running.send_signal(signal.SIGINT)
        self.until((self.folder / "interrupted").exists)
        running.send_signal(signal.SIGINT)
        self.assertEqual(running.wait(), 128 + signal.SIGINT)
        self.assertIn(b"second signal", running.stderr.read())
        running.stderr.close()
        self.until(lambda: not child.alive())

    def test_ctrl_c_on_a_terminal_reaches_the_command_once(self):
        ours, theirs = pty.openpty()
        # The terminal of a new session belongs to its leader: what a shell in a new window has.
        as_shell = ["setsid", "--ctty", "--wait", sys.executable, "-c", RUN, "bash", "-c"]
        script = "trap 'echo got it >> caught; exit 5' INT; echo $$ > child; while :; do sleep 0.1; done"
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        running = subprocess.Popen([*as_shell, script], cwd=self.folder, env=environment, stdin=theirs, stdout=theirs)
        child = self.pid_in("child")
        # The command runs before the terminal is its own; until then Ctrl-C is the runner's, which passes it on.
        self.until(lambda: os.tcgetpgrp(ours) == child)
        os.write(ours, b"\x03")
        self.assertEqual(running.wait(), 5)
        self.assertEqual((self.folder / "caught").read_text(), "got it\n")
        os.close(ours)
        os.close(theirs)


class Processes(Folder):
    def test_only_the_process_that_was_started_is_ended(self):
        bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        reused = process.Identity(bystander.pid, "another boot/1")
        self.assertFalse(reused.alive())
        process.end([reused])
        self.assertIsNone(bystander.poll())
        self.assertTrue(process.Identity.of(bystander.pid).alive())

    def test_a_group_that_ignores_sigterm_is_killed(self):
        script = "trap '' TERM; echo $$ > child; while :; do sleep 0.1; done"
        child = process.spawn(process.Command(["bash", "-c", script], {}, self.folder), self.folder / "log")
        identity = process.Identity.of(self.pid_in("child"))
        process.end([identity], grace_seconds=0.3)
        self.assertEqual(child.wait(), -signal.SIGKILL)
        self.assertFalse(identity.alive())

    def test_a_child_that_died_counts_as_gone_before_it_is_waited_for(self):
        child = process.spawn(process.Command(["true"], {}, self.folder), self.folder / "log")
        identity = process.Identity.of(child.pid)
        self.until(lambda: not identity.alive())
        self.assertEqual(child.wait(), 0)


class Registry(Folder):
    def setUp(self):
        super().setUp()
        (self.folder / "app.jar").write_text("a jar")
        self.archive = self.folder / "app.tar.gz"
        self.unpacked = self.folder / "unpacked"

    def pack(self, name: str) -> str:
        """The checksum of an archive with one file under that name."""
        with tarfile.open(self.archive, "w:gz") as archive:
            archive.add(self.folder / "app.jar", name)
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()

    def test_the_pinned_archive_is_unpacked(self):
        registry.unpack(self.archive, self.pack("lib/app.jar"), self.unpacked)
        self.assertEqual((self.unpacked / "lib" / "app.jar").read_text(), "a jar")

    def test_a_changed_archive_is_not_unpacked(self):
        pinned = self.pack("app.jar")
        self.pack("lib/app.jar")
        with self.assertRaises(Fail):
            registry.unpack(self.archive, pinned, self.unpacked)
        self.assertFalse(self.unpacked.exists())

    def test_nothing_is_unpacked_elsewhere(self):
        with self.assertRaises(tarfile.FilterError):
            registry.unpack(self.archive, self.pack("../app2.jar"), self.unpacked)
        self.assertFalse((self.folder / "app2.jar").exists())

    def test_a_restart_finds_its_schemas(self):
        commands = [registry.native({"http": port}, self.folder) for port in (21000, 21001)]
        self.assertEqual(commands[0].env, commands[1].env)
        self.assertIn(str(self.folder), commands[0].env["REGISTRY_DATASOURCE_URL"])


class Broken:
    """A service that says something and dies at once."""

    NAME, PORTS = "broken", ("only",)

    def missing():
        return []

    def fetch():
        pass

    def native(ports, data):
        return process.Command(["bash", "-c", "echo no memory; exit 3"], {}, data)

    def probe(ports):
        raise ConnectionError("refused")

    def environment(ports):
        return {}


class Fleet(Folder):
    def setUp(self):
        super().setUp()
        for module, name, value in (
            (state, "STATE_FILE", self.folder / "state.json"),
            (fleet, "LOGS", self.folder / "logs"),
            (fleet.config, "ENV_FILE", self.folder / "env"),
            (fleet.config, "CONFIG_FILE", self.folder / "aqueduct.toml"),
        ):
            before = getattr(module, name)
            setattr(module, name, value)
            self.addCleanup(setattr, module, name, before)
        fleet.SERVICES["broken"] = Broken
        self.addCleanup(fleet.SERVICES.pop, "broken")

    def test_a_service_that_dies_at_its_start_is_told_at_once_with_its_log(self):
        now = state.State()
        with self.assertRaises(Fail) as caught:
            fleet.start(now, ["broken"], docker=False, timeout_seconds=600)
        printed = "  | no memory\nbroken: died at its start (exit code 3); its whole log is "
        self.assertIn(printed, str(caught.exception))
        self.assertEqual(json.loads((self.folder / "state.json").read_text())["services"], {})
        self.assertEqual(now.scratch, "")

    def test_services_that_start_together_have_different_ports(self):
        # So narrow a range that two that choose on their own meet in it sooner or later, as neither listens yet.
        names = list(fleet.SERVICES)
        count = sum(len(service.PORTS) for service in fleet.SERVICES.values())
        before, fleet.PORT_RANGE = fleet.PORT_RANGE, range(20000, 20000 + 4 * count)
        self.addCleanup(setattr, fleet, "PORT_RANGE", before)
        for _ in range(100):
            chosen = fleet._ports(names, {20000, 20007})
            self.assertEqual([tuple(chosen[name]) for name in names], [fleet.SERVICES[name].PORTS for name in names])
            numbers = {port for ports in chosen.values() for port in ports.values()}
            self.assertEqual((len(numbers), numbers & {20000, 20007}), (count, set()))

    def test_a_user_that_died_is_forgotten(self):
        gone = subprocess.Popen(["true"])
        identity = process.Identity.of(gone.pid)
        gone.wait()
        now = state.State(users=[identity])
        now.enter()
        self.assertEqual([user.pid for user in now.users], [os.getpid()])
        now.leave()
        self.assertEqual(now.users, [])

    def test_the_state_survives_being_written_down(self):
        running = state.Running(ports={"only": 21000}, log="log", kept=True, pid=os.getpid(), started="boot/1")
        now = state.State(services={"kafka": running}, users=[process.Identity(1, "boot/2")], scratch="/nowhere")
        now.save()
        self.assertEqual(state.load(), now)

    def test_an_unreadable_state_is_taken_as_empty(self):
        (self.folder / "state.json").write_text("{")
        with redirect_stderr(io.StringIO()) as printed:
            self.assertEqual(state.load(), state.State())
        self.assertIn("cannot be read", printed.getvalue())


if __name__ == "__main__":
    unittest.main()
