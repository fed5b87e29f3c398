"""The profile "restricted" of Kubernetes' Pod Security Standards, as a check of a pod."""

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
           "projected", "secret"}  # fmt: skip
PROFILES = ("RuntimeDefault", "Localhost")
HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(spec):
    """The rules that a pod's ``spec`` breaks, one line for each."""
    found = [f"{name} is set" for name in HOST if spec.get(name)]
    for volume in spec.get("volumes", ()):
        kinds = set(volume) - {"name"}
        found += [f"volume {volume['name']}: {kind}" for kind in sorted(kinds - VOLUMES)]
    of_pod = spec.get("securityContext", {})
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        found += [f"{container['name']}: {fault}" for fault in _faults(container, of_pod)]
    return found


def _faults(container, of_pod):
    own = container.get("securityContext", {})
    both = of_pod | own
    capabilities = own.get("capabilities", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if both.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if both.get("seccompProfile", {}).get("type") not in PROFILES:
        yield "seccompProfile is not RuntimeDefault"
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are not dropped"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if any("hostPort" in port and port["hostPort"] for port in container.get("ports", ())):
        yield "hostPort is set"
