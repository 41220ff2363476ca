"""What the operating system knows of this process: for the peers' figures."""
import os
import resource
import time


def seconds():
    """Since this process was started, imports included."""
    with open("/proc/self/stat", encoding="ascii") as file:
        start = int(file.read().rpartition(")")[2].split()[19])  # field 22 of proc(5); the second may hold blanks
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")


def peak_memory_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
