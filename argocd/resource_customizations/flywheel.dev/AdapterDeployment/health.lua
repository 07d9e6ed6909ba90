local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready

-- What an older spec was said to be tells nothing of this one.
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the operator to look at this spec"}
end
-- Nothing is at work and nothing is broken: it waits for a person, or for a run's candidate.
if ready.reason == "AwaitingApproval" or ready.reason == "NoCandidate" then
  return {status = "Suspended", message = ready.message}
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return {status = "Degraded", message = ready.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
return {status = "Progressing", message = ready.message}
