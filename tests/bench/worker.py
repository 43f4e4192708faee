"""A worker process of the benchmark, as the driver sees it (the protocol is in worker.c)."""
import os
import signal
import subprocess

# What changes how an engine runs without being named in the results: both get the defaults.
SCRUBBED = ("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "ORT_", "MALLOC_", "GLIBC_TUNABLES", "PLEAT_")


class WorkerError(Exception):
    pass


class Worker:
    """Started, and stopped by SIGSTOP except while it is asked something: an idle engine cannot spin."""

    def __init__(self, command):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(SCRUBBED)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)
        self.name = os.path.basename(command[0])

    def ask(self, *fields):
        """The fields of the answer."""
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write("\t".join(str(field) for field in fields) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            _, stderr = self.process.communicate()
            raise WorkerError(f"{self.name} ended with {self.process.returncode}: {stderr.strip()[-400:]}")
        self.process.send_signal(signal.SIGSTOP)
        status, *rest = answer.rstrip("\n").split("\t")
        if status != "ok":
            raise WorkerError(" ".join(rest))
        return rest

    def load(self, model, threads):
        """Nanoseconds."""
        return int(self.ask("load", model, threads)[0])

    def run(self, untimed, timed):
        """Nanoseconds of each timed run."""
        return [int(time) for time in self.ask("run", untimed, timed)]

    def place(self, cpus):
        """All of its threads on these CPUs."""
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                os.sched_setaffinity(int(task), cpus)
            except ProcessLookupError:  # a thread that has ended since
                pass

    def memory(self):
        """Peak resident memory in bytes, by the kernel's account."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
