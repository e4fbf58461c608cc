"""A PaymentJob operator as an expert writes it with kopf: a Job per PaymentJob, and its state in the status.

Handlers are asynchronous and share one client with kept connections, on uvloop. There is no finalizer, since nothing
is to be done on a deletion; an index of the phases spares writes that would change nothing. The product's care for
what goes wrong, and its conditions, are left out.
"""

import hashlib
import json
from datetime import datetime, timezone

import kopf
from kubernetes_asyncio import client, config

GROUP, VERSION, PLURAL = "payments.example.com", "v1alpha1", "paymentjobs"
MANAGED = {"app.kubernetes.io/managed-by": "paymentjob-operator"}
NAME = "payments.example.com/paymentjob"
MERGE = "application/merge-patch+json"

api: client.ApiClient
batch: client.BatchV1Api
objects: client.CustomObjectsApi


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, **_):
    global api, batch, objects
    await config.load_kube_config()
    api = client.ApiClient()
    batch, objects = client.BatchV1Api(api), client.CustomObjectsApi(api)
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage()


@kopf.on.cleanup()
async def stop(**_):
    await api.close()


@kopf.index(GROUP, VERSION, PLURAL)
def phases(name, status, **_):
    return {name: status.get("phase")}


@kopf.on.create(GROUP, VERSION, PLURAL)
async def create_job(name, namespace, uid, spec, body, **_):
    job = job_of(name, uid, spec)
    try:
        await batch.create_namespaced_job(namespace, job, _preload_content=False)
    except client.ApiException as error:
        if error.status == 409:
            return
        raise kopf.TemporaryError(f"cannot create the Job: {error.status}", delay=1) from error
    kopf.info(body, reason="JobCreated", message=f"created the Job {job['metadata']['name']}")


@kopf.on.event("batch", "v1", "jobs", labels=MANAGED)
async def mirror(type, name, namespace, meta, status, phases: kopf.Index, **_):
    if type == "DELETED":
        return
    owner = meta["ownerReferences"][0]
    phase = phase_of(status)
    [known] = phases.get(owner["name"], [None])
    if phase == known or known in ("Succeeded", "Failed"):
        return
    now = datetime.now(timezone.utc).isoformat()
    said = {"phase": phase, "jobName": name, "message": f"the Job {name}: {phase}", "lastUpdateTime": now}
    if status.get("startTime"):
        said["startTime"] = status["startTime"]
    if phase in ("Succeeded", "Failed"):
        said["completionTime"] = status.get("completionTime", now)
    await objects.patch_namespaced_custom_object_status(
        GROUP, VERSION, namespace, PLURAL, owner["name"], {"status": said}, _content_type=MERGE, _preload_content=False
    )
    if phase in ("Succeeded", "Failed"):
        kopf.info(reference(namespace, owner), reason=f"Job{phase}", message=said["message"])


def reference(namespace, owner):
    metadata = {"name": owner["name"], "namespace": namespace, "uid": owner["uid"]}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "metadata": metadata}


def phase_of(status):
    for condition in status.get("conditions", []):
        if condition["status"] == "True" and condition["type"] == "Complete":
            return "Succeeded"
        if condition["status"] == "True" and condition["type"] == "Failed":
            return "Failed"
    return "Running" if status.get("active", 0) > 0 else "Pending"


def job_of(name, uid, spec):
    labels = {"paymentjob": name, **MANAGED}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name}-job",
            "labels": labels,
            "annotations": {NAME: name, "payments.example.com/spec-hash": spec_hash(spec)},
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "PaymentJob",
                    "name": name,
                    "uid": uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "Ignore", "onExitCodes": exit_code(4)},
                    {"action": "FailJob", "onExitCodes": exit_code(2)},
                ]
            },
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": labels, "annotations": {NAME: name}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 45,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container_of(uid, spec)],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    }


def spec_hash(spec):
    return hashlib.sha256(json.dumps(dict(spec), sort_keys=True).encode()).hexdigest()[:14]


def exit_code(code):
    return {"containerName": "worker", "operator": "In", "values": [code]}


def container_of(uid, spec):
    return {
        "name": "worker",
        "image": spec["image"],
        "imagePullPolicy": "IfNotPresent",
        "env": environment_of(uid, spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def environment_of(uid, spec):
    rabbitmq, postgres = spec["rabbitmq"], spec["postgres"]
    plain = {
        "MODE": "worker",
        "RUN_ID": uid,
        "TERMINATION_MESSAGE_PATH": "/dev/termination-log",
        "QUEUE_NAME": spec["queueName"],
        "MAX_MESSAGES": spec.get("maxMessages"),
        "RABBITMQ_HOST": rabbitmq["host"],
        "RABBITMQ_PORT": rabbitmq.get("port", 5672),
        "POSTGRES_HOST": postgres["host"],
        "POSTGRES_PORT": postgres.get("port", 5432),
        "POSTGRES_DB": postgres["database"],
    }
    secrets = [("RABBITMQ", rabbitmq["secretRef"]["name"]), ("POSTGRES", postgres["secretRef"]["name"])]
    return [{"name": name, "value": str(value)} for name, value in plain.items() if value is not None] + [
        {"name": f"{service}_{suffix}", "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for service, secret in secrets
        for suffix, key in [("USER", "username"), ("PASS", "password")]
    ]
