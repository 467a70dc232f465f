// What is done to many rows, 500 a call. It goes on while another view is looked at, and who comes back sees how far.
import { post, count } from "./kit.js";

const A_CALL = 500;

// `plan`: what is under way, or null. `ended`: what is said of the one before, once. `tell` is called at each change.
export const acting = { plan: null, ended: {}, tell: () => {} };
let isStopped = false;

// Who signs out does nothing more: the call in hand is the last one.
export function stop() { isStopped = acting.plan !== null; }

export function takeEnded() {
  const { ended } = acting;
  acting.ended = {};
  return ended;
}

function change(changes) {
  Object.assign(acting, changes);
  acting.tell();
}

// `query`: of the search whose rows are meant, unless the plan has ids. What failed since they were counted is left out, so
// that what a replay brings back is not sent again by the same one.
export async function act(plan, { source, status, ...conditions }, reason) {
  const told = { done: 0, counted: 0, held_back: 0 };
  const selection = Object.fromEntries(Object.entries(conditions).filter(([, value]) => value));
  isStopped = false;
  change({ plan: { ...plan, reason, running: true }, ended: {} });
  try {
    for (let from = 0, after = 0; plan.ids ? from < plan.ids.length : after !== null; from += A_CALL) {
      if (isStopped) throw new Error("You signed out, and the rest was left. Search, and go on.");
      const which = plan.ids ? { ids: plan.ids.slice(from, from + A_CALL) } : { ...selection, until: plan.until, after };
      const body = { source, status, ...which };
      const answer = await post(`dead-letters/${plan.what}`, plan.what === "discard" ? { ...body, reason } : body);
      for (const name of Object.keys(told)) told[name] += answer[name];
      after = answer.next;
      change({ plan: { ...acting.plan, done: told.done + told.counted + told.held_back } });
    }
    change({ plan: null, ended: { said: summary(plan, told) } });
  } catch (error) {
    change({ plan: null, ended: { said: `${count(told.done)} were done before that.`, failure: error } });
  }
}

function summary({ what, total }, { done, counted, held_back }) {
  const passed = total - done - counted - held_back;
  return [`${count(done)} ${what === "replay" ? "sent again" : "discarded"}.`,
    counted ? `${count(counted)} had been counted meanwhile.` : "",
    held_back ? `${count(held_back)} were held back: they came back three times.` : "",
    passed > 0 ? `${count(passed)} passed over: damaged batches, messages whose bytes an erasure has removed, or rows that somebody else acts on.` : ""].filter(Boolean).join(" ");
}
