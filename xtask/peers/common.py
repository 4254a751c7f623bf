"""What the peers' runners share: the number of threads, OMP_NUM_THREADS, and one line of JSON."""
import json
import os

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]:
    os.environ[name] = str(THREADS)
os.environ["XLA_FLAGS"] = (
    f"--xla_cpu_multi_thread_eigen={str(THREADS > 1).lower()} intra_op_parallelism_threads={THREADS}"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# Warm-up and timed transitions of each workload.
STEPS = {"ppo": (2_048, 20_480), "dqn": (1_024, 4_096), "sac": (256, 1_024), "sac-wide": (512, 1_024), "minatar-dqn": (1_024, 4_096),
         "minatar-ppo": (8_192, 16_384)}


def report(transitions, seconds, parameters, gradient_steps):
    print(json.dumps({
        "transitions_per_second": transitions / seconds,
        "transitions": transitions,
        "parameters": int(parameters),
        "gradient_steps": int(gradient_steps),
    }))
