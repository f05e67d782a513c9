"""The configurations of the cases: one text with the parts in which they differ."""

import dataclasses
import string

TEXT = string.Template("""[kafka]
bootstrap_servers = "$kafka"
topics = [$topics]
group_id = "$topic"
[kafka.properties]
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
[pubsub]
project = "$project"
topic = "$topic"
subscription = "$topic-$own"
emulator_host = "$pubsub"
$more
[anonymise]
pseudonymise = ["/user_id"]
forward = "all"
keyring = "keys.toml"
[service]
listen = "127.0.0.1:0"
[state]
checkpoints = "file://$own-state"
idle_after = "3s"
cold_start = "20s"
hole_limit = "$holes"
""")
# Events have no IDs, so that only their positions distinguish copies from originals.
EVENTS = """[events]
time = "/time"
"""
PAGE_CTR = """[[flows]]
name = "page_ctr"
by = { page = "/page" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10s", period = "5s" }
out_of_orderness = "2s"
allowed_lateness = "20m"
early = "3s"
"""
JOINED = """[[flows]]
name = "joined"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "20s" }
out_of_orderness = "3s"
allowed_lateness = "20m"
join = { on = "/view_id", within = "10s" }
measures.users = { distinct = "/user_id" }
"""
VISITS = """[[flows]]
name = "visits"
by = { user = "/user_id" }
window = { session = "5s" }
out_of_orderness = "2s"
allowed_lateness = "20m"
measures.events = { count = {} }
measures.pages = { distinct = "/page" }
"""
FLOWS = PAGE_CTR + JOINED + VISITS
SQLITE = """[writer]
kind = "sqlite"
path = "$own.db"
"""
# Two topics with one set of flows. The IDs of a copy are the same, and those of the two topics too, so each topic has IDs
# of its own. Windows of days and weeks take what is years late, so that events of the change to winter time can be sent.
CLICKS = "-clicks"
TWO_TOPICS_EVENTS = """[events]
time = "/time"
id = "/event_id"
[events.topics.$topic-clicks]
id = "/event_id"
"""
TWO_TOPICS_FLOWS = """[[flows]]
name = "days"
by = { page = "/page" }
window = { size = "1d", timezone = "Europe/Warsaw" }
allowed_lateness = "36500d"
out_of_orderness = "2s"
early = "3s"
measures.events = { count = {} }
measures.users = { distinct = "/user_id" }
[[flows]]
name = "weeks"
where = { topic = "$topic-clicks" }
by = { box = "/box" }
window = { size = "1w", timezone = "Europe/Warsaw" }
allowed_lateness = "36500d"
out_of_orderness = "2s"
early = "3s"
measures.events = { count = {} }
[[flows]]
name = "slots"
by = { box = "/box" }
views = { topic = "$topic", "/type" = "view" }
clicks = { topic = "$topic-clicks", "/type" = "click" }
window = { size = "10s", period = "5s" }
allowed_lateness = "36500d"
out_of_orderness = "2s"
[[flows]]
name = "joined"
by = { page = "/page", box = "/box" }
views = { topic = "$topic", "/type" = "view" }
clicks = { topic = "$topic-clicks", "/type" = "click" }
window = { size = "20s" }
allowed_lateness = "36500d"
out_of_orderness = "3s"
join = { on = "/view_id", within = "10s" }
measures.users = { distinct = "/user_id" }
"""


@dataclasses.dataclass
class Shape:
    """What is special about the configuration of a case. Its texts may contain $topic and $own."""

    events: str = EVENTS
    flows: str = FLOWS
    writers: str = SQLITE
    # More keys of [pubsub].
    more: str = ""
    holes: str = "10m"
    # What the names of its Kafka topics end with.
    topics: tuple = ("",)

    def text(self, **values):
        topics = ", ".join(f'"{values["topic"]}{end}"' for end in self.topics)
        parts = string.Template(self.writers + self.events + self.flows).substitute(values)
        return TEXT.substitute(values, topics=topics, more=self.more, holes=self.holes) + parts


def with_time(flows, kind):
    """The flows with another kind of time."""
    return flows.replace("[[flows]]\n", f'[[flows]]\ntime = "{kind}"\n')
