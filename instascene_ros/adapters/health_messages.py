"""SceneHealth -> MapStatus and DiagnosticArray."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from instascene_ros.adapters.counters import gpu_mb, resident_mb
from instascene_ros.adapters.health import SceneHealth, Tally
from instascene_ros.msg import MapStatus


def map_state(idle: str, busy: bool, recent: Tally, complaint: str) -> int:
    """Integrating, waiting, held (`idle` says by what), or getting only frames that cannot be used."""
    if idle:
        return MapStatus.STATE_PAUSED
    if recent.integrated or busy or not complaint:
        return MapStatus.STATE_MAPPING
    return MapStatus.STATE_ERROR if recent.invalid else MapStatus.STATE_WAITING


def status_message(health: SceneHealth, header: Header, idle: str, recent: Tally) -> MapStatus:
    """`recent` is what happened since the last status."""
    total, counters, complaint = health.tally(), health.counters, health.complaint(recent)
    return MapStatus(
        header=header, map_id=counters.map_id, state=map_state(idle, health.busy, recent, complaint),
        message=idle or complaint,
        frames_received=total.received, frames_integrated=total.integrated, dropped_busy=total.busy,
        dropped_no_pose=total.no_pose, dropped_stale=total.stale + total.unmatched, dropped_invalid=total.invalid,
        num_gaussians=counters.num_gaussians, num_instances=counters.num_instances,
        integration_hz=counters.integration_hz, latency_s=counters.latency_s,
        memory_mb=resident_mb(), gpu_memory_mb=gpu_mb(),
    )  # fmt: skip


def diagnostics_message(health: SceneHealth, node_name: str, status: MapStatus, header: Header) -> DiagnosticArray:
    """One status for each input and one for the mapping."""
    statuses = [_mapping(health, node_name, status)]
    for monitor in health.monitors:
        problem = health.problem_of(monitor)
        level = DiagnosticStatus.ERROR if monitor.qos_problem else DiagnosticStatus.WARN
        statuses.append(
            DiagnosticStatus(
                level=level if problem and monitor.required else DiagnosticStatus.OK,
                name=f"{node_name}: {monitor.topic}",
                message=problem or "ok",
                values=key_values(
                    received=monitor.received, rate_hz=f"{monitor.rate_hz:.1f}", last_stamp_ns=monitor.last_stamp_ns
                ),
            )
        )
    return DiagnosticArray(header=header, status=statuses)


def _mapping(health: SceneHealth, node_name: str, status: MapStatus) -> DiagnosticStatus:
    levels = {MapStatus.STATE_ERROR: DiagnosticStatus.ERROR, MapStatus.STATE_WAITING: DiagnosticStatus.WARN}
    stages = {f"stage_{stage}_ms": f"{ms:.1f}" for stage, ms in health.counters.stage_ms.items()}
    intakes = health.intakes
    return DiagnosticStatus(
        level=levels.get(status.state, DiagnosticStatus.OK),
        name=f"{node_name}: mapping",
        message=status.message or "ok",
        values=key_values(
            **vars(health.tally()), bad_poses=health.bad_poses, sync_misses=health.misses() or "none",
            pose_jumps=sum(i.pose_jumps for i in intakes), time_jumps=sum(i.sync.time_jumps for i in intakes),
            duplicates=sum(i.sync.duplicates for i in intakes),
            gaussians_refused=health.counters.num_refused,
            last_invalid=health.counters.last_invalid or "none", **stages,
        ),
    )  # fmt: skip


def key_values(**values: object) -> list[KeyValue]:
    """What a diagnostic status lists, as text."""
    return [KeyValue(key=key, value=str(value)) for key, value in values.items()]
