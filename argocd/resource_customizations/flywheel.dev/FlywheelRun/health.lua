local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready

-- After an end nothing changes a run: its spec may be newer for ever.
if conditions.Completed ~= nil and conditions.Completed.status == "True" then
  return {status = "Healthy", message = conditions.Completed.message}
end
if conditions.Failed ~= nil and conditions.Failed.status == "True" then
  return {status = "Degraded", message = conditions.Failed.message}
end
-- What an older spec was said to be tells nothing of this one.
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the operator to look at this spec"}
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return {status = "Degraded", message = ready.message}
end
if ready.reason == "Suspended" then
  return {status = "Suspended", message = ready.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
return {status = "Progressing", message = ready.message}
