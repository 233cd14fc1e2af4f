-- The health of every kind of the authentik stage operator, for Argo CD. Resources that are being deleted never get
-- here: Argo CD calls them progressing by itself.

local conditions = {}
local observed = nil
if obj.status ~= nil then
  observed = obj.status.observedGeneration
  for _, condition in ipairs(obj.status.conditions or {}) do
    conditions[condition.type] = condition
  end
end

local function holds(condition)
  return condition ~= nil and condition.status == "True"
end

if observed ~= obj.metadata.generation then
  return {
    status = "Progressing",
    message = "the operator has yet to act on generation " .. obj.metadata.generation,
  }
end
if holds(conditions.Suspended) then
  return { status = "Suspended", message = conditions.Suspended.message }
end
local ready = conditions.Ready
if ready == nil then
  return { status = "Progressing", message = "the operator has not said yet how it is" }
end
if holds(ready) then
  return { status = "Healthy", message = ready.message }
end
if holds(conditions.Reconciling) then
  return { status = "Progressing", message = ready.message }
end
-- Nothing changes by itself: it is stalled, or it only observes and has found a difference.
return { status = "Degraded", message = ready.message }
