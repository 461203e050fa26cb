"""Timers and events: approvals, monitors, reminders, challenges."""

from __future__ import annotations

from datetime import timedelta

import azure.durable_functions as df

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def approve_or_escalate(context):
    yield context.call_activity("ask_for_approval", context.get_input())
    deadline = context.create_timer(context.current_utc_datetime + timedelta(hours=72))
    approval = context.wait_for_external_event("ApprovalEvent")
    winner = yield context.task_any([approval, deadline])
    if winner == approval:
        deadline.cancel()
        return (yield context.call_activity("process", approval.result))
    return (yield context.call_activity("escalate", context.get_input()))


@bp.orchestration_trigger(context_name="context")
def verify_code(context):
    code = yield context.call_activity("send_code", context.get_input())
    expiry = context.create_timer(context.current_utc_datetime + timedelta(seconds=180))
    verified = False
    for _ in range(3):
        answer = context.wait_for_external_event("CodeEntered")
        winner = yield context.task_any([answer, expiry])
        if winner is expiry:
            break
        if answer.result == code:
            verified = True
            break
    if not expiry.is_completed:
        expiry.cancel()
    return verified


@bp.orchestration_trigger(context_name="context")
def watch_until_clear(context):
    polls, expires = 0, context.current_utc_datetime + timedelta(hours=6)
    while context.current_utc_datetime < expires:
        clear = yield context.call_activity("is_clear", polls)
        if clear:
            return polls
        polls += 1
        yield context.create_timer(context.current_utc_datetime + timedelta(minutes=30))
    return "expired"


@bp.orchestration_trigger(context_name="context")
def remind_for_days(context):
    sent = []
    for day in range(context.get_input()):
        due = context.current_utc_datetime + timedelta(days=1)
        yield context.create_timer(fire_at=due)
        sent.append((yield context.call_activity("remind", day)))
    return sent


@bp.orchestration_trigger(context_name="context")
def collect_two_events(context):
    started = yield context.wait_for_external_event(name="started")
    finished = yield context.wait_for_external_event("finished", expected_type=int)
    return {"started": started, "finished": finished}


@bp.orchestration_trigger(context_name="context")
def all_signatures(context):
    signed = yield context.task_all([context.wait_for_external_event(who) for who in ("legal", "finance")])
    return all(signed)


@bp.activity_trigger(input_name="request")
def ask_for_approval(request):
    return None


@bp.activity_trigger(input_name="approval")
def process(approval):
    return f"processed {approval['by']}"


@bp.activity_trigger(input_name="request")
def escalate(request):
    return f"escalated {request}"


@bp.activity_trigger(input_name="phone")
def send_code(phone):
    return 4711


@bp.activity_trigger(input_name="polls")
def is_clear(polls):
    return polls >= 3


@bp.activity_trigger(input_name="day")
def remind(day):
    return f"day {day}"


app = df.DFApp()
app.register_functions(bp)
