"""The folded model's error against the float64 oracle is at most twice the original's, for every real float model.

Usage: check_exactness.py PLEAT FOLDER

For each FOLDER/*/model.onnx: `pleat fold --check` on random inputs, as the model is, and once more with its overridable
weights frozen where that lets more be folded. Prints the largest ratio a model, over its float outputs; models that do
not run, are of another type or have nothing to fold are listed with the reason. `--check` itself is more lenient: it
allows an error within the type's tolerance as well, whatever the original's is. Exit code 77: the folder is not there.
"""
import glob
import json
import os
import subprocess
import sys

SKIPPED = 77
BAR = 2.0
RUNS = 10
MORE_RUNS = 40  # the largest error of few runs is a matter of chance: what is above the bar is measured once more


def fold(pleat, model, runs, *options):
    """(report, None), or (None, what went wrong)"""
    command = [pleat, "fold", model, "-n", f"--check={runs}", "--json", "-", *options]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode not in (0, 1):  # 1: refused, with a report
        return None, f"exit code {run.returncode}: {run.stderr.strip().splitlines()[-1:]}"
    return json.loads(run.stdout), None


def ratio(output):
    original, folded = output["original"]["max_abs"], output["folded"]["max_abs"]
    if original == 0:
        return 0.0 if folded == 0 else float("inf")
    return folded / original


def measure(pleat, model, *options):
    """fold(), with more runs where a few say that the bar is missed"""
    report, problem = fold(pleat, model, RUNS, *options)
    if report and "check" in report and any(ratio(output) > BAR for output in report["check"]["outputs"]):
        report, problem = fold(pleat, model, MORE_RUNS, *options)
    return report, problem


def judge(report):
    """(largest ratio or None, the line to print)"""
    done = f"{report['norms_before'] - report['norms_after']} of {report['norms_before']} folded"
    if "check" not in report:
        return None, f"{done}: {report['not_checked']}"
    if any(output["type"] == "float16" for output in report["check"]["outputs"]):
        return None, f"{done}: a float16 model"
    outputs = [output for output in report["check"]["outputs"] if output["type"] == "float"]
    if not outputs:
        return None, f"{done}: no float output"
    worst = max(outputs, key=ratio)
    return ratio(worst), (f"{done}: error {worst['original']['max_abs']:.3g} -> {worst['folded']['max_abs']:.3g} "
                          f"in '{worst['name']}', range {worst['range']:.3g}")


def main():
    pleat, folder = sys.argv[1:]
    models = sorted(glob.glob(os.path.join(folder, "*", "model.onnx")))
    if not models:
        print(f"skipped: there are no models in {folder}")
        return SKIPPED
    failed = checked = 0
    for model in models:
        name = os.path.basename(os.path.dirname(model))
        report, problem = measure(pleat, model)
        variants = [("", report, problem)]
        if report and report["norms_after"]:
            frozen, problem = measure(pleat, model, "--freeze-inputs")
            if problem or frozen["norms_after"] < report["norms_after"]:
                variants.append((" (frozen)", frozen, problem))
        for variant, report, problem in variants:
            value, text = (float("inf"), problem) if problem else judge(report)
            bad = value is not None and not value <= BAR
            checked += value is not None
            failed += bad
            verdict = "FAIL" if bad else "  - " if value is None else "  ok"
            print(f"{verdict}  {'' if value is None else format(value, '.3f'):>6}  {name}{variant}: {text}", flush=True)
    print(f"{checked} checked, {failed} above {BAR:g} times the original's error")
    return 1 if failed or not checked else 0


sys.exit(main())
