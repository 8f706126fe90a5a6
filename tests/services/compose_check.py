"""Checks docker-compose.yml without Docker: compose_check.py [--prism PATH]

With a built prism, subcommands and options are those of its --help; without, the subcommands are those of src/main.rs.
"""

import argparse
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
POM = "{http://maven.apache.org/POM/4.0.0}"
# Images whose version is that of the artifact which tests run.
VERSIONS = {
    "apache/kafka": ("kafka.pom.xml", "org.apache.kafka", "kafka_2.13"),
    "questdb/questdb": ("questdb.pom.xml", "org.questdb", "questdb"),
}


def artifact_version(pom, group, artifact):
    """The version of one dependency of a POM beside this file."""
    for dependency in xml.parse(ROOT / "tests" / "services" / pom).iter(f"{POM}dependency"):
        if (dependency.findtext(f"{POM}groupId"), dependency.findtext(f"{POM}artifactId")) == (group, artifact):
            return dependency.findtext(f"{POM}version")
    return None


def subcommands_of_source():
    """The variants of `enum Command`, spelt as on the command line."""
    text = (ROOT / "src" / "main.rs").read_text()
    body = re.search(r"^enum Command \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)[1]
    names = re.findall(r"^ {4}([A-Z]\w*)", body, re.MULTILINE)
    return {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in names}


def help_of(prism, *words):
    return subprocess.run([prism, *words, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout


def subcommands_of_binary(prism):
    body = help_of(prism).split("Commands:", 1)[1].split("Options:", 1)[0]
    return set(re.findall(r"^ {2}([a-z][\w-]*)", body, re.MULTILINE))


def is_local(port):
    """Whether a published port is bound to this machine alone."""
    if isinstance(port, dict):
        address = port.get("host_ip")
    else:
        found = re.fullmatch(r"([\d.]+):\d+:\d+(/\w+)?", str(port))
        address = found and found[1]
    return address == "127.0.0.1"


def check_service(name, service, compose, fault):
    """Faults of one service that need no knowledge of prism."""
    for key in ("healthcheck", "restart"):
        if key not in service:
            fault(f"{name} has no {key}")
    if not service.get("healthcheck", {}).get("test"):
        fault(f"{name}: its health check tests nothing")
    if not ("image" in service or "build" in service):
        fault(f"{name} has neither image nor build")
    if "build" not in service:
        image, _, tag = service.get("image", "").partition(":")
        if not re.match(r"\d+\.\d+\.\d+", tag):
            fault(f"{name}: the version of {image} is not pinned")
        if image in VERSIONS and tag != artifact_version(*VERSIONS[image]):
            fault(f"{name}: image is {tag}, {VERSIONS[image][0]} has {artifact_version(*VERSIONS[image])}")
    else:
        build = service["build"]
        context = ROOT / (build if isinstance(build, str) else build.get("context", "."))
        if not (context / "Dockerfile").is_file():
            fault(f"{name}: there is no Dockerfile in {context}")
    if service.get("network_mode") == "host" or service.get("privileged"):
        fault(f"{name} leaves its container")
    for port in service.get("ports", []):
        if not is_local(port):
            fault(f"{name}: port {port} is not bound to 127.0.0.1")
    depends = service.get("depends_on", {})
    for other in depends:
        if other not in compose["services"]:
            fault(f"{name} depends on {other}, which is no service")
        elif isinstance(depends, list) or depends[other].get("condition") != "service_healthy":
            fault(f"{name} does not wait until {other} is healthy")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0] if isinstance(volume, str) else volume.get("source", "")
        if source.startswith((".", "/")):
            if not (ROOT / source).exists():
                fault(f"{name}: {source} does not exist")
        elif source not in (compose.get("volumes") or {}):
            fault(f"{name}: volume {source} is not declared")


def check_command(name, service, prism, fault):
    """Faults of a command line of prism."""
    command = service.get("command", [])
    words = command.split() if isinstance(command, str) else [str(word) for word in command]
    known = subcommands_of_binary(prism) if prism else subcommands_of_source()
    if not words or words[0] not in known:
        fault(f"{name}: prism has no command {words[:1]}, known are {' '.join(sorted(known))}")
    elif prism:
        text = help_of(prism, words[0])
        for word in words[1:]:
            if word.startswith("--") and not re.search(rf"{re.escape(word.split('=')[0])}(?![\w-])", text):
                fault(f"{name}: prism {words[0]} has no option {word}")


def docker_says(fault):
    """Asks `docker compose config`, where there is one: it reads the file and needs no engine."""
    if not shutil.which("docker"):
        return "no docker"
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=60).returncode:
        return "docker without compose"
    checked = subprocess.run(
        ["docker", "compose", "-f", ROOT / "docker-compose.yml", "config", "-q"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if checked.returncode:
        fault(f"docker compose config: {checked.stderr.strip()}")
    return "docker compose config"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prism", help="a built prism, whose subcommands and options are compared")
    args = parser.parse_args()
    faults = []
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for image in VERSIONS:
        if not any(str(service.get("image", "")).startswith(f"{image}:") for service in compose["services"].values()):
            faults.append(f"no service runs {image}")
    for name, service in compose["services"].items():
        check_service(name, service, compose, faults.append)
        if "build" in service:
            check_command(name, service, args.prism, faults.append)
    asked = docker_says(faults.append)
    for fault in faults:
        print(f"FAILED: {fault}")
    print(f"{len(compose['services'])} services, {asked}")
    print("compose file: " + (f"{len(faults)} faults" if faults else "ok"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
