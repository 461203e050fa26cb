// What needs a script: saved views, the columns chosen last, keys. Everything else works without it.
"use strict";

const VIEWS = "durable_ray.views";
const byId = (id) => document.getElementById(id);

// --- live parts: they wait while nobody looks, while something is selected with the mouse, and while a menu is open ---

document.addEventListener("htmx:beforeRequest", (event) => {
  if (!event.target.hasAttribute("data-live")) return;
  const chosen = document.getSelection();
  const reading = chosen && !chosen.isCollapsed && event.target.contains(chosen.anchorNode);
  const open = event.target.querySelector("details[open]");
  if (document.hidden || reading || open) event.preventDefault();
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.closest("#filter") && box.tagName === "SELECT") box.form.requestSubmit();
});

// --- the filter: empty fields stay out of the address; columns are kept --------------------------

document.addEventListener("submit", (event) => {
  if (event.target.id !== "filter") return;
  const form = event.target;
  const chosen = [...form.querySelectorAll('input[name="col"]:checked')].map((box) => box.value);
  document.cookie = `durable_ray_columns=${chosen.join(".")}; path=/; max-age=31536000; samesite=strict`;
  for (const field of form.elements) {
    if (field.name === "col" || (field.name && !field.value)) field.disabled = true;
  }
});
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("#filter [name]")) field.disabled = false;
});

// --- saved views ---------------------------------------------------------------------------------

function savedViews() {
  try {
    const found = JSON.parse(localStorage.getItem(VIEWS) || "[]");
    return Array.isArray(found) ? found.filter((view) => typeof view.name === "string" && /^\/(\?|$)/.test(view.url)) : [];
  } catch {
    return [];
  }
}

function keep(views) {
  localStorage.setItem(VIEWS, JSON.stringify(views));
  showViews();
}

function showViews() {
  const place = byId("saved-views");
  if (!place) return;
  place.replaceChildren();
  for (const view of savedViews()) {
    const link = document.createElement("a");
    link.href = view.url;
    link.textContent = view.name;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "forget";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Forget the view ${view.name}`);
    remove.addEventListener("click", () => keep(savedViews().filter((each) => each.name !== view.name)));
    place.append(link, remove);
  }
}

const save = byId("save-view");
if (save) {
  save.hidden = false;
  save.addEventListener("click", () => {
    const name = (window.prompt("Name of this view") || "").trim().slice(0, 60);
    if (!name) return;
    const url = location.pathname + location.search;
    keep([...savedViews().filter((each) => each.name !== name), { name, url }]);
  });
}

// --- keys: / filters, j and k walk through the list -----------------------------

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const field = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (field) {
    event.preventDefault();
    field.focus();
    if (field.select) field.select();
  } else if (event.key === "j" || event.key === "k") {
    const links = [...document.querySelectorAll(".list tbody .c-id a")];
    const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    const next = links[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
    if (next) next.focus();
  }
});

showViews();
