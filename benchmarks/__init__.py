"""The scripts behind the claims of the documents; run from the root: ``python -m benchmarks.speed.student_speed FILE``.

Imported before any of them, and keeps their output to what they print themselves.
"""

import gym_notices.notices
import structlog

gym_notices.notices.notices.clear()  # d3rlpy and procgen import gym, which prints an advertisement
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # d3rlpy logs every buffer
