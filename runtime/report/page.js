"use strict";
/* Draws the page from the JSON in #content. Texts are put in place as text: no name in the data becomes HTML. */
(() => {
  const DATA = JSON.parse(document.getElementById("content").textContent);
  const INPUTS = DATA.inputs;
  const COMPARED = DATA.kind === "compare";
  const UNIT = 10 ** DATA.digits;
  const LETTERS = ["A", "B"];
  const POOLS = { mean: "Mean", min: "Minimum", max: "Maximum", harmonic_mean: "Harmonic mean" };
  const state = { input: 0, frame: 0, pool: INPUTS[0].pool || "mean", whole: false };

  /* ---- elements ---- */

  /** An element. `given`: properties, `class`, `on…` listeners, and attributes with a hyphen or in ATTRIBUTES. */
  function el(tag, given = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (value === null || value === undefined) continue;
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name in made && !name.includes("-") && name !== "role") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return made;
  }

  function svg(tag, given = {}) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
    return made;
  }

  function section(id, title, tools, ...children) {
    const head = el("div", { class: "head" }, el("h2", { id: `${id}-title` }, title), tools && el("div", { class: "tools" }, tools));
    return el("section", { id, "aria-labelledby": `${id}-title` }, head, ...children);
  }

  /* ---- numbers: whole units, shortened outwards ---- */

  const SHOWN = Math.max(0, DATA.digits - 2);

  function fixed(units, way) {
    const whole = way(units / 10 ** (DATA.digits - SHOWN));
    const digits = String(Math.abs(whole)).padStart(SHOWN + 1, "0");
    const text = SHOWN ? `${digits.slice(0, -SHOWN)}.${digits.slice(-SHOWN)}` : digits;
    return whole < 0 ? `−${text}` : text;
  }

  const score = (units) => (units === null ? "none" : fixed(units, Math.round));
  const lowest = (units) => (units === null ? "no lower bound" : fixed(units, Math.floor));
  const highest = (units) => (units === null ? "no upper bound" : fixed(units, Math.ceil));
  const interval = (lower, upper) => `${lowest(lower)} to ${highest(upper)}`;
  const plain = (value) => value.toFixed(Math.min(SHOWN, 2)).replace("-", "−");
  const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
  const baseName = (path) => path.split("/").pop() || path;
  const number = (input, index) => input.first + index * input.step;
  const drawn = (input, index) => (Array.isArray(input.drawn) ? input.drawn[index] : input.drawn);
  const isAbstained = (input, index) => (input.abstained || []).includes(index);

  /** [score, lower, upper, bound] of an input under a pool. */
  function pooled(input, pool = state.pool) {
    return input.pools ? input.pools[pool] : [input.score[0], input.lower[0], input.upper[0], "one-frame"];
  }

  /** The ends of the axis for scores as such: the model's range, else what the data take. */
  const RANGE = DATA.range || (() => {
    const all = INPUTS.flatMap((input) => [...input.lower, ...input.upper, ...input.score]).filter((value) => value !== null);
    const [low, high] = [all.reduce((a, b) => Math.min(a, b), Infinity), all.reduce((a, b) => Math.max(a, b), -Infinity)];
    const pad = Math.max(1, 0.05 * (high - low));
    return [Math.floor(low - pad), Math.ceil(high + pad)];
  })();

  const share = (units) => `${(100 * Math.min(1, Math.max(0, (units - RANGE[0]) / (RANGE[1] - RANGE[0])))).toFixed(3)}%`;

  function place(made, lower, upper, middle, dot) {
    const [low, high] = [lower === null ? RANGE[0] : lower, upper === null ? RANGE[1] : upper];
    made.style.left = share(low);
    made.style.width = `calc(${share(high)} - ${share(low)})`;
    if (middle === null) dot.hidden = true;
    else dot.style.left = share(middle);
  }

  function gauge([middle, lower, upper], letter) {
    const [span, dot] = [el("div", { class: "span" }), el("div", { class: "dot" })];
    place(span, lower, upper, middle, dot);
    const ends = RANGE.map((end) => el("div", { class: "end number" }, plain(end / UNIT).replace(/\.0+$/, "")));
    return el("div", { class: `gauge${letter === "B" ? " b" : ""}`, "aria-hidden": "true" }, el("div", { class: "track" }), span, dot, ends);
  }

  function mini(middle, lower, upper) {
    const [span, dot] = [el("i"), el("u")];
    place(span, lower, upper, middle, dot);
    return el("span", { class: "mini", "aria-hidden": "true" }, span, dot);
  }

  const mark = (letter) => el("span", { class: `mark${letter === "B" ? " b" : ""}` }, letter);

  /* ---- the head: one number, its interval, and what it is worth ---- */

  function hero() {
    const notices = [];
    if (DATA.public_seed) {
      notices.push("The noise came from a public seed. Whoever attacks the frames can know it: good for tests, not as evidence.");
    }
    if (!DATA.direction_known) notices.push("The model is not at hand. Higher scores are taken to be the better ones.");
    const body = COMPARED ? comparison() : INPUTS.length > 1 ? several() : single();
    return [body, ...notices.map((text) => el("p", { class: "notice", role: "note" }, text))];
  }

  function single() {
    const input = INPUTS[0];
    const [left, right] = [el("div"), el("div")];
    const draw = () => {
      const made = pooled(input);
      left.replaceChildren(...[
        el("h1", {}, input.path),
        el("p", { class: "soft small" }, input.pools ? `${POOLS[state.pool]} of ${count(input.score.length, "frame")}, ` : "", `${input.width}×${input.height}`),
        el("p", { class: "big" }, score(made[0])),
        el("p", { class: "interval" }, "certified ", el("b", {}, interval(made[1], made[2]))),
        gauge(made),
        input.pools && poolPicker(draw),
      ].filter(Boolean));
    };
    draw();
    if (input.decision) right.append(el("p", { class: "verdict" }, verdictOf(input.decision)));
    right.append(el("p", { class: "promise" }, input.promise));
    if (DATA.radius) right.append(el("p", { class: "soft small" }, DATA.radius));
    return el("section", { class: "hero", "aria-label": "Result" }, left, right);
  }

  function poolPicker(then) {
    const choose = el("select", { onchange: () => { state.pool = choose.value; then(); redraw(); } },
      Object.keys(INPUTS[state.input].pools || {}).map((pool) => el("option", { value: pool, selected: pool === state.pool }, POOLS[pool])));
    return el("p", { class: "tools" }, el("label", { class: "small soft" }, "Pooled as ", choose));
  }

  const verdictOf = (decision) => ({
    pass: `Pass: certainly at least ${decision.at_least}`, fail: `Fail: certainly below ${decision.at_least}`,
    undecided: `Undecided: at least ${decision.at_least} or not could not be certified`,
  })[decision.decision];

  function several() {
    const frames = INPUTS.reduce((sum, input) => sum + input.score.length, 0);
    return el("section", { class: "hero single", "aria-label": "Result" }, el("div", {},
      el("h1", {}, `${count(INPUTS.length, "file")} certified${DATA.failed.length ? `, ${DATA.failed.length} failed` : ""}`),
      el("p", { class: "soft small" }, `${count(frames, "frame")} in all. Each file is a claim of its own. All of them hold at once except with probability ${Number(DATA.joint_alpha.toPrecision(6))}.`)),
      el("div", {}, DATA.radius && el("p", { class: "soft small" }, DATA.radius)));
  }

  function comparison() {
    const { decision } = DATA.decision;
    const winner = { a: 0, b: 1 }[decision];
    const better = DATA.higher_is_better || winner === undefined ? winner : 1 - winner;
    const sides = INPUTS.map((input, index) => {
      const made = pooled(input);
      return el("div", { class: index ? "b" : "a" },
        el("p", { class: "side-name" }, mark(LETTERS[index]), input.path),
        el("p", { class: "big" }, score(made[0])),
        el("p", { class: "interval" }, "certified ", el("b", {}, interval(made[1], made[2]))),
        gauge(made, LETTERS[index]));
    });
    const verdict = winner === undefined
      ? ["Undecided: the intervals do not tell the two apart"]
      : [mark(LETTERS[better]), `${baseName(INPUTS[better].path)} is certifiably better`];
    return el("section", { class: "hero", "aria-label": "Result" },
      el("div", {}, el("h1", {}, "Two files compared"), el("div", { class: "sides" }, sides)),
      el("div", {}, el("p", { class: "verdict" }, verdict), el("p", { class: "promise" }, DATA.decision.promise),
        DATA.radius && el("p", { class: "soft small" }, DATA.radius)));
  }

  /* ---- a table that is sorted and filtered ---- */

  const PAGE = 100;

  /** `columns`: {label, value(row), cell(row), right}. `draw(rows)` shows these rows; it keeps the order chosen. */
  function sortable(caption, columns, given, { sorted = null, current = () => false } = {}) {
    let rows = given, shown = PAGE, [by, down] = sorted || [null, false];
    const [body, more] = [el("tbody"), el("button", { type: "button", class: "more", onclick: () => { shown += 5 * PAGE; fill(); } })];
    const heads = columns.map((column) => el("th", { scope: "col", class: column.right ? "right" : "" },
      column.value ? el("button", { type: "button", onclick: () => { down = by === column ? !down : false; by = column; fill(); } }, column.label) : column.label));
    const compare = (one, other) => {
      const [a, b] = [by.value(one), by.value(other)];
      const order = a === b ? 0 : a === null ? 1 : b === null ? -1 : typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
      return down && a !== null && b !== null ? -order : order;
    };
    function fill() {
      const ordered = by ? [...rows].sort(compare) : rows;
      body.replaceChildren(...ordered.slice(0, shown).map((row) => el("tr", { "aria-current": current(row) ? "true" : null },
        columns.map((column) => el("td", { class: [column.right && "right", column.class].filter(Boolean).join(" ") }, column.cell(row))))));
      heads.forEach((head, index) => head.setAttribute("aria-sort", columns[index] !== by ? "none" : down ? "descending" : "ascending"));
      more.hidden = shown >= rows.length;
      more.textContent = `Show more: ${shown} of ${rows.length}`;
    }
    fill();
    const node = el("div", {}, el("div", { class: "scroll" }, el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body)), more);
    return { node, draw: (chosen = rows) => { rows = chosen; fill(); }, all: () => { shown = Infinity; fill(); } };
  }

  /* ---- the files of a folder ---- */

  function files() {
    const rows = [...INPUTS.map((input, index) => ({ input, index })), ...DATA.failed.map((failed) => ({ failed }))];
    const value = (place) => ({ input }) => (input ? pooled(input)[place] : null);
    const text = (show, place) => ({ input }) => (input ? show(pooled(input)[place]) : "");
    const path = ({ input, failed }) => (input || failed).path;
    const columns = [
      { label: "Worst frame", cell: ({ input }) => (input && input.thumbnails.length ? picture(input.thumbnails[0], "") : "") },
      { label: "File", value: path, class: "name", cell: (row) => (row.input
        ? el("button", { type: "button", onclick: () => { choose(row.index); document.getElementById("file").scrollIntoView(); } }, path(row))
        : [path(row), el("br"), el("span", { class: "small" }, `Not certified: ${row.failed.error}`)]) },
      { label: "Frames", right: true, value: ({ input }) => (input ? input.score.length : null), cell: ({ input }) => (input ? String(input.score.length) : "") },
      { label: "Score", right: true, value: value(0), cell: text(score, 0) },
      { label: "At least", right: true, value: value(1), cell: text(lowest, 1) },
      { label: "At most", right: true, value: value(2), cell: text(highest, 2) },
      { label: "Interval", cell: ({ input }) => (input ? mini(...pooled(input)) : "") },
      { label: "Worst", right: true, value: ({ input }) => (input ? worstScore(input) : null), cell: ({ input }) => (input ? score(worstScore(input)) : "") },
    ];
    if (INPUTS.some((input) => input.decision)) {
      columns.push({ label: "Decision", value: ({ input }) => (input ? input.decision.decision : null), cell: ({ input }) => (input ? input.decision.decision : "") });
    }
    if (!INPUTS.some((input) => input.pools)) columns.splice(7, 1);
    if (!INPUTS.some((input) => input.thumbnails.length)) columns.shift();
    const made = sortable("One row a file. Bounds are rounded outwards.", columns, rows, { current: (row) => row.index === state.input });
    const [words, least, most] = [el("input", { type: "search" }), el("input", { type: "number", step: "any" }), el("input", { type: "number", step: "any" })];
    const found = el("p", { class: "small soft", role: "status" });
    function filter() {
      const [word, low, high] = [words.value.toLowerCase(), least.value, most.value];
      const chosen = rows.filter((row) => path(row).toLowerCase().includes(word)
        && (low === "" || (row.input && pooled(row.input)[1] !== null && pooled(row.input)[1] >= Number(low) * UNIT))
        && (high === "" || (row.input && pooled(row.input)[2] !== null && pooled(row.input)[2] < Number(high) * UNIT)));
      made.draw(chosen);
      found.textContent = `${chosen.length} of ${rows.length} shown`;
    }
    for (const field of [words, least, most]) field.addEventListener("input", filter);
    filter();
    filesTable = made;
    return section("files", "Files", null,
      el("div", { class: "filters" }, el("label", {}, "Name contains", words), el("label", {}, "Certified at least", least),
        el("label", {}, "Certified below", most), found), made.node);
  }

  const worstScore = (input) => pooled(input, DATA.higher_is_better ? "min" : "max")[0];

  function picture(thumbnail, alt) {
    return el("img", { src: thumbnail.uri, width: thumbnail.width, height: thumbnail.height, alt, decoding: "async" });
  }

  /* ---- score over time ---- */

  let plot = null;
  let filesTable = null;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** Columns for uPlot: x, then score, lower, upper of each series; null where a file has no such frame. */
  function columnsOf(series) {
    const numbers = new Map();
    for (const input of series) input.score.forEach((_, index) => numbers.set(number(input, index), null));
    const x = [...numbers.keys()].sort((a, b) => a - b);
    const where = series.map((input) => new Map(input.score.map((_, index) => [number(input, index), index])));
    const take = (values, place) => x.map((frame) => {
      const index = place.get(frame);
      return index === undefined || values[index] === null ? null : values[index] / UNIT;
    });
    return { x, where, data: [x, ...series.flatMap((input, at) => ["lower", "upper", "score"].map((side) => take(input[side], where[at])))] };
  }

  /** Of two files, which frame is certifiably better: "A", "B" or "". */
  function betterFrames({ x, where }) {
    return x.map((frame) => {
      const [a, b] = where.map((place) => place.get(frame));
      if (a === undefined || b === undefined) return "";
      const above = (one, i, other, j) => INPUTS[one].lower[i] !== null && INPUTS[other].upper[j] !== null && INPUTS[one].lower[i] > INPUTS[other].upper[j];
      const winner = above(0, a, 1, b) ? 0 : above(1, b, 0, a) ? 1 : null;
      return winner === null ? "" : LETTERS[DATA.higher_is_better ? winner : 1 - winner];
    });
  }

  function overTime() {
    const series = COMPARED ? INPUTS : [INPUTS[state.input]];
    const made = columnsOf(series);
    const { x, data } = made;
    const better = COMPARED ? betterFrames(made) : [];
    const readout = el("div", { class: "readout" });
    let view = [x[0] - 0.5, x[x.length - 1] + 0.5];
    const area = el("div", { class: "chart", id: "chart", tabIndex: 0, role: "slider", "aria-label": "Frame",
      "aria-valuemin": x[0], "aria-valuemax": x[x.length - 1], "aria-describedby": "keys" });

    function show(index) {
      state.frame = index;
      const frame = x[index];
      const words = series.map((input, at) => {
        const i = made.where[at].get(frame);
        return i === undefined ? null : { input, i, at };
      }).filter(Boolean);
      const say = ({ input, i, at }) => `${COMPARED ? `${LETTERS[at]}: ` : ""}score ${score(input.score[i])}, certified ${interval(input.lower[i], input.upper[i])}`;
      const which = better[index] ? `; ${better[index]} is certifiably better` : COMPARED ? "; neither is certifiably better" : "";
      area.setAttribute("aria-valuenow", frame);
      area.setAttribute("aria-valuetext", `Frame ${frame}: ${words.map(say).join("; ")}${which}`);
      readout.replaceChildren(
        el("span", {}, "Frame ", el("b", {}, String(frame))),
        ...words.flatMap(({ input, i, at }) => {
          const thumbnail = input.thumbnails.find((one) => one.frame === frame);
          return [thumbnail ? picture(thumbnail, "") : null,
            el("span", {}, COMPARED ? mark(LETTERS[at]) : "", "score ", el("b", {}, score(input.score[i]))),
            el("span", {}, "certified ", el("b", {}, interval(input.lower[i], input.upper[i]))),
            el("span", { class: "soft" }, count(drawn(input, i), "sample"), isAbstained(input, i) ? ", nothing certified" : "")].filter(Boolean);
        }),
        ...(COMPARED ? [el("span", {}, better[index] ? [mark(better[index]), "certifiably better"] : "undecided")] : []));
      for (const card of document.querySelectorAll(".frames button")) card.setAttribute("aria-current", String(card.value === `${words[0] && INPUTS.indexOf(words[0].input)}:${frame}`));
    }

    function move(index) {
      const to = Math.min(x.length - 1, Math.max(0, index));
      const [min, max] = view;
      if (x[to] < min || x[to] > max) zoomTo(x[to] - (max - min) / 2, x[to] + (max - min) / 2);
      show(to);
      // uPlot applies a new scale in a microtask of its own; the line is put in place after it.
      const shown = plot;
      queueMicrotask(() => shown.setCursor({ left: shown.valToPos(x[to], "x"), top: shown.over.clientHeight / 2 }, false));
    }

    function zoomTo(min, max) {
      const [low, high, span] = [x[0] - 0.5, x[x.length - 1] + 0.5, Math.max(4, max - min)];
      const from = Math.max(low, Math.min(min, high - span));
      view = [from, Math.min(high, from + span)];
      plot.setScale("x", { min: view[0], max: view[1] });
    }

    function zoom(factor) {
      const [middle, half] = [x[state.frame], ((view[1] - view[0]) / 2) * factor];
      zoomTo(middle - half, middle + half);
      move(state.frame);
    }

    const reset = () => { zoomTo(x[0] - 0.5, x[x.length - 1] + 0.5); move(state.frame); };
    const steps = (event) => (event.shiftKey ? 10 : 1);
    const keys = {
      ArrowRight: (event) => move(state.frame + steps(event)), ArrowLeft: (event) => move(state.frame - steps(event)),
      ArrowUp: (event) => move(state.frame + steps(event)), ArrowDown: (event) => move(state.frame - steps(event)),
      PageUp: () => move(state.frame + Math.ceil(x.length / 10)), PageDown: () => move(state.frame - Math.ceil(x.length / 10)),
      Home: () => move(0), End: () => move(x.length - 1), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: reset, Escape: reset,
    };
    area.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      keys[event.key](event);
      event.preventDefault();
    });

    /** The axis of scores: what the data take, with the pooled interval, or the model's whole range. */
    function yRange() {
      if (state.whole && DATA.range) return DATA.range.map((end) => end / UNIT);
      let [low, high] = [Infinity, -Infinity];
      for (const column of data.slice(1)) for (const value of column) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
      const pad = 0.07 * Math.max(high - low, 1 / 10 ** SHOWN);
      return [low - pad, high + pad];
    }

    const scores = series.flatMap((_, at) => {
      const colour = () => css(at ? "--b" : "--a");
      const edge = { show: true, stroke: () => "transparent", width: 0, points: { show: false } };
      return [edge, edge, { show: true, stroke: colour, width: 2, dash: at ? [7, 4] : undefined, points: { show: x.length < 60, size: 5, fill: colour } }];
    });

    function pooledIntervals(u) {
      const { ctx, bbox } = u;
      series.forEach((input, at) => {
        if (!input.pools) return;
        const [, lower, upper] = pooled(input);
        if (lower === null || upper === null) return;
        const [top, bottom] = [u.valToPos(upper / UNIT, "y", true), u.valToPos(lower / UNIT, "y", true)];
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        ctx.fillStyle = css("--pool");
        ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
        ctx.strokeStyle = css(COMPARED ? (at ? "--b" : "--a") : "--soft");
        ctx.lineWidth = uPlot.pxRatio;
        ctx.setLineDash([5 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
        for (const y of [top, bottom]) { ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke(); }
        ctx.restore();
      });
    }

    function betterMarks(u) {
      const { ctx, bbox } = u;
      const [height, ratio] = [9 * uPlot.pxRatio, uPlot.pxRatio];
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      const half = (x.length > 1 ? Math.min(...x.slice(1).map((value, i) => value - x[i])) : 1) / 2;
      better.forEach((letter, index) => {
        if (!letter) return;
        const [left, right] = [u.valToPos(x[index] - half, "x", true), u.valToPos(x[index] + half, "x", true)];
        const top = bbox.top + bbox.height - (letter === "A" ? 2 : 1) * (height + ratio);
        ctx.fillStyle = css(letter === "A" ? "--a" : "--b");
        if (letter === "A") ctx.fillRect(left, top, right - left + 0.5, height);
        else for (let at = left; at < right; at += 5 * ratio) ctx.fillRect(at, top, Math.min(2.5 * ratio, right - at), height);
      });
      ctx.restore();
    }

    const axis = { stroke: () => css("--soft"), grid: { stroke: () => css("--faint"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    const tall = () => (area.clientWidth < 560 ? 260 : 340);
    const options = () => ({
      width: area.clientWidth, height: tall(), legend: { show: false }, padding: [12, 12, 0, 0],
      cursor: { y: false, drag: { x: true, y: false, dist: 5 }, points: { size: 9 } },
      scales: { x: { time: false, range: (u, min, max) => (u.data[0].length < 2 ? [x[0] - 0.5, x[0] + 0.5] : [min, max]) }, y: { range: yRange } },
      axes: [{ ...axis, label: "frame", labelSize: 18, labelGap: 0, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6], values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick.toLocaleString("en") : "")) },
        { ...axis, size: 56, values: (_, ticks, __, ___, step) => ticks.map((tick) => tick.toFixed(Math.max(0, Math.min(8, -Math.floor(Math.log10(step) + 1e-9)))).replace("-", "−")) }],
      series: [{}, ...scores],
      bands: series.map((_, at) => ({ series: [3 * at + 2, 3 * at + 1], fill: () => css(at ? "--b-band" : "--a-band") })),
      hooks: { drawAxes: [pooledIntervals], draw: COMPARED ? [betterMarks] : [], setScale: [(u, key) => { if (key === "x") view = [u.scales.x.min, u.scales.x.max]; }] },
    });

    const button = (label, action, title) => el("button", { type: "button", onclick: action, title: title || null }, label);
    const whole = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
      state.whole = !state.whole;
      whole.setAttribute("aria-pressed", String(state.whole));
      plot.setData(data, false);
      plot.redraw(false, true);
      reset();
    } }, "Whole range");
    const tools = [button("Previous", () => move(state.frame - 1)), button("Next", () => move(state.frame + 1)), button("Zoom in", () => zoom(0.5)),
      button("Zoom out", () => zoom(2)), button("All", reset), DATA.range && whole];
    const key = series.flatMap((input, at) => {
      const b = at ? " b" : "";
      return [el("span", {}, el("i", { class: `line${b}` }), COMPARED ? `${LETTERS[at]}: ${baseName(input.path)}` : "score"), el("span", {}, el("i", { class: `band${b}` }), COMPARED ? `${LETTERS[at]}: certified` : "certified interval of each frame")];
    });
    if (series[0].pools) key.push(el("span", {}, el("i", { class: "pool" }), "pooled interval"));
    if (COMPARED) key.push(el("span", {}, el("i", { class: "better" }), "A certifiably better"), el("span", {}, el("i", { class: "better b" }), "B certifiably better"));
    const tally = COMPARED && el("p", { class: "small" }, ["A", "B"].map((letter) => `${letter} is certifiably better in ${better.filter((one) => one === letter).length} of ${x.length} frames. `).join(""), runs(x, better));
    const node = section("time", COMPARED ? "Score over time, overlaid" : "Score over time", tools.filter(Boolean),
      el("div", { class: "key" }, key), area, readout, tally || null,
      el("p", { class: "hint", id: "keys" }, "Drag to zoom, double-click for all. Keys: ", el("kbd", {}, "←"), " ", el("kbd", {}, "→"), " frame, ", el("kbd", {}, "Shift"), " by ten, ", el("kbd", {}, "+"), " ", el("kbd", {}, "−"), " zoom, ", el("kbd", {}, "0"), " all. The axis of scores begins where the data do; “Whole range” shows the model’s."));
    const start = () => {
      plot = new uPlot(options(), data, area);
      zoomTo(x[0] - 0.5, x[x.length - 1] + 0.5);
      new ResizeObserver(() => plot && area.clientWidth && area.clientWidth !== plot.width && plot.setSize({ width: area.clientWidth, height: tall() })).observe(area);
      plot.over.addEventListener("dblclick", reset);
      plot.over.addEventListener("mousemove", (event) => show(plot.posToIdx(event.clientX - plot.over.getBoundingClientRect().left)));
      show(0);
    };
    return { node, start, jump: (frame) => move(x.indexOf(frame)) };
  }

  /** "A: frames 0 to 24, 28." for each that is better somewhere. */
  function runs(x, better) {
    return LETTERS.map((letter) => {
      const found = [];
      better.forEach((one, index) => {
        if (one !== letter) return;
        if (index && better[index - 1] === letter) found[found.length - 1][1] = x[index];
        else found.push([x[index], x[index]]);
      });
      const shown = found.slice(0, 12).map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(", ");
      return found.length ? `${letter}: frames ${shown}${found.length > 12 ? " …" : ""}. ` : "";
    }).join("");
  }

  /* ---- the worst frames, and the map of their tiles ---- */

  function worst(timeline) {
    const shown = COMPARED ? INPUTS.map((_, index) => index) : [state.input];
    const cards = shown.flatMap((at) => INPUTS[at].thumbnails.map((thumbnail) => ({ at, thumbnail })));
    if (!cards.length) return null;
    const single = cards.length === 1 && INPUTS[cards[0].at].score.length === 1;
    const withMaps = cards.filter(({ thumbnail }) => thumbnail.map);
    const map = withMaps.length ? tileMap() : null;
    const list = el("ol", { class: "frames" }, cards.map(({ at, thumbnail }) => {
      const input = INPUTS[at];
      const index = (thumbnail.frame - input.first) / input.step;
      const alt = `Frame ${thumbnail.frame} of ${input.path}`;
      return el("li", {}, el("button", { type: "button", value: `${at}:${thumbnail.frame}`, onclick: () => { if (timeline) timeline.jump(thumbnail.frame); if (map && thumbnail.map) map.show(input, thumbnail); } },
        picture(thumbnail, alt),
        el("span", { class: "row" }, el("span", {}, COMPARED ? mark(LETTERS[at]) : "", `Frame ${thumbnail.frame}`), el("b", {}, score(input.score[index]))),
        el("span", { class: "small soft number" }, `certified ${interval(input.lower[index], input.upper[index])}`),
        mini(input.score[index], input.lower[index], input.upper[index])));
    }));
    const sections = [];
    if (map) {
      map.show(INPUTS[withMaps[0].at], withMaps[0].thumbnail);
      sections.push(map.node);
    }
    if (!single) sections.push(section("worst", "Worst frames", null, list));
    else if (!map) {
      const shownWhole = picture(cards[0].thumbnail, `The frame of ${INPUTS[0].path}`);
      shownWhole.style.cssText = "display:block;max-width:100%;height:auto;border-radius:4px";
      sections.push(section("worst", "The frame", null, shownWhole));
    }
    return sections;
  }

  const ROUNDED = { median: Math.round, lower: Math.floor, upper: Math.ceil, width: Math.ceil };

  /** A whole number where scores are large, all digits shown where they are not. */
  const short = (units, way) => (DATA.digits <= 4 ? String(way(units / UNIT)).replace("-", "−") : fixed(units, way));
  const KINDS = { median: "Median", lower: "Certified at least", upper: "Certified at most", width: "Width of the interval" };
  const ENDS = [[200, 88, 12], [236, 232, 222], [30, 96, 168]];

  /** Orange for bad, over grey, to blue for good; every tile has its number as well. */
  function tone(part) {
    const [from, to, at] = part < 0.5 ? [ENDS[0], ENDS[1], 2 * part] : [ENDS[1], ENDS[2], 2 * part - 1];
    return `rgb(${from.map((value, i) => Math.round(value + at * (to[i] - value))).join(" ")})`;
  }

  function tileMap() {
    const stage = el("div", { class: "stage" });
    const title = el("h3");
    const said = el("p", { class: "number", role: "status" });
    const choose = el("select", { onchange: () => paint() }, Object.entries(KINDS).map(([kind, label]) => el("option", { value: kind }, label)));
    const opacity = el("input", { type: "range", min: 0, max: 100, value: 62, oninput: () => paint() });
    const [bar, low, high] = [el("div", { class: "scale" }), el("span"), el("span")];
    let [input, thumbnail, at] = [null, null, 0];

    function place(index) {
      const { rows, columns } = input.tiles;
      const [row, column] = [Math.floor(index / (columns.length - 1)), index % (columns.length - 1)];
      return { x: columns[column], y: rows[row], width: columns[column + 1] - columns[column], height: rows[row + 1] - rows[row], row, column };
    }

    function paint() {
      const { map } = thumbnail;
      const values = choose.value === "width" ? map.lower.map((value, i) => map.upper[i] - value) : map[choose.value];
      const known = values.filter((value) => value !== null);
      const [least, most] = [Math.min(...known), Math.max(...known)];
      const goodIsHigh = choose.value === "width" ? false : DATA.higher_is_better;
      const part = (value) => { const made = most > least ? (value - least) / (most - least) : 0.5; return goodIsHigh ? made : 1 - made; };
      const view = svg("svg", { viewBox: `0 0 ${input.width} ${input.height}`, tabindex: "0", role: "application", "aria-label": "Quality map, arrow keys go from tile to tile", preserveAspectRatio: "none" });
      values.forEach((value, index) => {
        const { x, y, width, height } = place(index);
        const tile = svg("rect", { x, y, width, height, fill: value === null ? "none" : tone(part(value)), "fill-opacity": opacity.value / 100 });
        tile.addEventListener("pointerenter", () => pick(index));
        tile.addEventListener("click", () => pick(index));
        view.append(tile);
        const size = 0.2 * Math.min(height, width);
        if (Number(opacity.value) > 0 && size / input.width > 0.012) {
          const label = svg("text", { x: x + width / 2, y: y + height / 2, "font-size": size, "stroke-width": size / 8, "pointer-events": "none" });
          label.textContent = value === null ? "–" : short(value, ROUNDED[choose.value]);
          view.append(label);
        }
      });
      for (const name of ["chosen under", "chosen"]) view.append(svg("rect", { class: name, "pointer-events": "none", "stroke-width": name === "chosen" ? input.width / 250 : input.width / 110 }));
      view.addEventListener("keydown", (event) => {
        const wide = input.tiles.columns.length - 1;
        const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide }[event.key];
        if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        if (map.median[at + by] !== undefined) pick(at + by);
      });
      const focused = document.activeElement && stage.contains(document.activeElement);
      stage.replaceChildren(picture(thumbnail, `Frame ${thumbnail.frame} of ${input.path}`), view);
      if (focused) view.focus();
      const stops = [0, 0.25, 0.5, 0.75, 1].map((stop) => tone(goodIsHigh ? stop : 1 - stop));
      bar.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
      low.textContent = score(least);
      high.textContent = score(most);
      pick(at);
    }

    function pick(index) {
      at = Math.min(index, thumbnail.map.median.length - 1);
      const { map } = thumbnail;
      const { x, y, width, height, row, column } = place(at);
      for (const frame of stage.querySelectorAll(".chosen")) for (const [name, value] of Object.entries({ x, y, width, height })) frame.setAttribute(name, value);
      said.replaceChildren(`Tile in row ${row + 1}, column ${column + 1}: median `, el("b", {}, score(map.median[at])), ", certified ", el("b", {}, interval(map.lower[at], map.upper[at])), ".");
    }

    const node = section("map", "Quality map", null, el("div", { class: "map" }, stage, el("div", {}, title,
      el("p", { class: "tools" }, el("label", { class: "small soft" }, "Show ", choose)),
      el("p", { class: "tools" }, el("label", { class: "small soft" }, "Over the frame ", opacity)),
      bar, el("div", { class: "scale-ends" }, low, high), said,
      el("p", { class: "hint" }, "Every tile is scored by itself. All bounds of a map hold at once, at the frame’s α."))));
    return { node, show: (file, chosen) => {
      [input, thumbnail, at] = [file, chosen, 0];
      const medians = chosen.map.median;
      at = medians.reduce((best, value, i) => (value !== null && (DATA.higher_is_better ? value < medians[best] : value > medians[best]) ? i : best), 0);
      title.textContent = file.score.length > 1 ? `Frame ${chosen.frame}` : "";
      paint();
    } };
  }

  /* ---- distribution ---- */

  function distribution() {
    const byFile = !COMPARED && INPUTS.length > 1 && INPUTS[state.input].score.length === 1;
    const groups = COMPARED ? INPUTS.map((input) => input.score) : byFile ? [INPUTS.map((input) => pooled(input)[0])] : [INPUTS[state.input].score];
    const known = groups.map((group) => group.filter((value) => value !== null).sort((a, b) => a - b));
    const all = known.flat().sort((a, b) => a - b);
    if (all.length < 3) return null;
    const span = Math.max(1, all[all.length - 1] - all[0]);
    const wanted = Math.min(24, Math.max(6, Math.ceil(Math.sqrt(all.length) * 1.5)));
    const raw = span / wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    const width = Math.max(1, [1, 2, 2.5, 5, 10].find((step) => step * power >= raw) * power);
    const from = Math.floor(all[0] / width) * width;
    const bins = Math.floor((all[all.length - 1] - from) / width) + 1;
    const counts = known.map((group) => { const made = Array(bins).fill(0); for (const value of group) made[Math.floor((value - from) / width)] += 1; return made; });
    const most = Math.max(...counts.flat());
    const bars = el("div", { class: "bars" }, Array.from({ length: bins }, (_, bin) => el("div", { class: "bin" }, counts.map((group, at) => {
      const bar = el("div", { class: `bar${at ? " b" : ""}`, title: `${plain((from + bin * width) / UNIT)} to ${plain((from + (bin + 1) * width) / UNIT)}: ${group[bin]}` }, group[bin] && groups.length === 1 ? el("span", {}, String(group[bin])) : "");
      bar.style.height = `${(88 * group[bin]) / most}%`;
      if (!group[bin]) bar.style.visibility = "hidden";
      return bar;
    }))));
    const step = Math.ceil(bins / 6);
    const ticks = Array.from({ length: bins + 1 }, (_, bin) => bin).filter((bin) => bin % step === 0 || bin === bins).filter((bin, i, kept) => bin === bins || bins - bin >= step / 2 || !kept.includes(bins));
    const axis = el("div", { class: "bars-axis" }, ticks.map((bin) => { const made = el("span", {}, plain((from + bin * width) / UNIT)); made.style.left = `${(100 * bin) / bins}%`; return made; }));
    const quantile = (group, part) => group[Math.min(group.length - 1, Math.floor(part * group.length))];
    const words = known.map((group, at) => `${COMPARED ? `${LETTERS[at]}: ` : ""}${count(group.length, byFile ? "file" : "frame")}, lowest ${score(group[0])}, median ${score(quantile(group, 0.5))}, highest ${score(group[group.length - 1])}.`);
    const figure = el("div", { role: "img", "aria-label": `Histogram of scores. ${words.join(" ")}` }, bars, axis);
    return section("distribution", byFile ? "Distribution over files" : "Distribution of the frames’ scores", null,
      el("p", { class: "small soft" }, words.join(" "), COMPARED ? " A is solid, B is hatched." : ""), el("br"), figure);
  }

  /* ---- what it is worth, what it was made with ---- */

  function worth() {
    const input = INPUTS[state.input];
    const claims = COMPARED ? [DATA.decision.claim] : [input.decision && input.decision.claim].filter(Boolean);
    const seen = COMPARED ? INPUTS.map((one, index) => `${LETTERS[index]}: ${one.promise}`) : [input.promise];
    return section("worth", "What this certificate promises", null, el("div", { class: "pair" },
      el("div", {}, el("h3", {}, "It says"), el("ul", {}, [...seen, ...claims].map((text) => el("li", {}, text)),
        el("li", {}, `All intervals of frames and files on this page hold at once except with probability ${Number(DATA.joint_alpha.toPrecision(6))}.`),
        input.tiles ? el("li", {}, "A quality map is one claim more: its bounds of all tiles hold at once, at the α of its frame.") : null)),
      el("div", {}, el("h3", {}, "It does not say"), el("ul", {}, DATA.not_promised.map((text) => el("li", {}, text))))));
  }

  function parameters() {
    const differs = INPUTS[state.input].differs || {};
    const rows = new Map([...DATA.parameters, ...(COMPARED ? [] : Object.entries(differs))]);
    return section("parameters", "Parameters", null,
      el("dl", {}, [...rows].flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      COMPARED && INPUTS[1].differs ? [el("br"), el("h3", {}, "Of B, where it differs"), el("dl", {}, Object.entries(INPUTS[1].differs).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))] : null);
  }

  function model() {
    const { facts, card } = DATA.model;
    if (!facts.length && !card) return null;
    return section("model", "Model", null, el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      card ? el("details", {}, el("summary", {}, "Model card"), el("div", { class: "card" }, cardParts(card))) : null);
  }

  /** Headings, tables and paragraphs of a Markdown text, each as text. */
  function cardParts(text) {
    return text.split(/\n{2,}/).filter((part) => part.trim()).flatMap((part) => {
      const heading = part.match(/^#{1,6} (.*)\n?([^]*)$/);
      if (heading) return [el("h4", {}, heading[1]), heading[2].trim() ? cardParts(heading[2]) : null].flat();
      const lines = part.split("\n").filter((line) => line.trim());
      if (lines.length > 1 && lines.every((line) => line.startsWith("|"))) {
        const [head, , ...rows] = lines.map((line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim().replaceAll("**", "")));
        return [el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, cell)))), el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))), el("br"))];
      }
      return [el("p", {}, part.replace(/\n(?!\s*([-*]|\d+\.) )/g, " ").replaceAll("**", ""))];
    });
  }

  function again() {
    const { command, needs } = DATA.replay;
    const copy = el("button", { type: "button", onclick: async () => {
      try { await navigator.clipboard.writeText(command); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(text); copy.textContent = "Selected"; }
    } }, "Copy");
    const text = el("pre", { tabIndex: 0, "aria-label": "Command" }, command);
    return section("replay", "Make it again", null,
      el("p", {}, "The noise of every frame follows from a secret and the frame. Whoever holds them can make these certificates again, bit for bit."),
      el("div", { class: "command" }, text, copy), el("p", {}, "It takes:"), el("ul", {}, needs.map((need) => el("li", { class: "small" }, need))));
  }

  function everyFrame(timeline) {
    const shown = COMPARED ? INPUTS : [INPUTS[state.input]];
    if (shown[0].score.length < 2) return null;
    const rows = shown.flatMap((input, at) => input.score.map((_, index) => ({ input, index, at })));
    const columns = [
      COMPARED && { label: "File", value: ({ at }) => at, cell: ({ at }) => mark(LETTERS[at]) },
      { label: "Frame", value: ({ input, index }) => number(input, index), cell: ({ input, index }) => el("button", { type: "button", class: "quiet", onclick: () => { timeline.jump(number(input, index)); document.getElementById("time").scrollIntoView(); } }, String(number(input, index))) },
      { label: "Score", right: true, value: ({ input, index }) => input.score[index], cell: ({ input, index }) => score(input.score[index]) },
      { label: "At least", right: true, value: ({ input, index }) => input.lower[index], cell: ({ input, index }) => lowest(input.lower[index]) },
      { label: "At most", right: true, value: ({ input, index }) => input.upper[index], cell: ({ input, index }) => highest(input.upper[index]) },
      { label: "Samples", right: true, value: ({ input, index }) => drawn(input, index), cell: ({ input, index }) => String(drawn(input, index)) },
      { label: "Interval", cell: ({ input, index }) => mini(input.score[index], input.lower[index], input.upper[index]) },
    ].filter(Boolean);
    const made = sortable("Bounds are rounded outwards.", columns, rows);
    return el("section", { id: "numbers" }, el("details", {}, el("summary", {}, `All ${count(rows.length, "frame")} as a table`), made.node));
  }

  /* ---- putting it together ---- */

  const main = document.getElementById("main");
  const detail = el("div", { id: "file" });

  function drawFile() {
    const input = INPUTS[state.input];
    plot = null;
    const timeline = (COMPARED ? Math.max(...INPUTS.map((one) => one.score.length)) : input.score.length) > 1 ? overTime() : null;
    const heading = !COMPARED && INPUTS.length > 1 ? el("section", { "aria-label": "File" }, el("div", { class: "head" }, el("h2", {}, input.path)), el("p", { class: "interval" }, score(pooled(input)[0]), " certified ", el("b", {}, interval(pooled(input)[1], pooled(input)[2]))), gauge(pooled(input))) : null;
    const parts = [heading, timeline && timeline.node, worst(timeline), distribution(), worth(), parameters(), model(), again(), everyFrame(timeline)];
    detail.replaceChildren(...parts.flat().filter(Boolean));
    if (timeline) timeline.start();
  }

  function choose(index) {
    state.input = index;
    if (!(INPUTS[index].pools || {})[state.pool]) state.pool = INPUTS[index].pool || "mean";
    if (filesTable) filesTable.draw();
    drawFile();
  }

  const redraw = () => plot && plot.redraw(false, true);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const THEMES = ["automatic", "light", "dark"];
  let theme = "automatic";

  function paintTheme(forced) {
    const root = document.documentElement;
    root.dataset.theme = forced || (theme === "automatic" ? (dark.matches ? "dark" : "light") : theme);
    redraw();
  }

  const themeButton = document.getElementById("theme");
  themeButton.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    themeButton.textContent = `Theme: ${theme}`;
    paintTheme();
  });
  dark.addEventListener("change", () => paintTheme());
  addEventListener("beforeprint", () => { paintTheme("light"); for (const one of document.querySelectorAll("#model details")) one.open = true; });
  addEventListener("afterprint", () => paintTheme());

  paintTheme();
  main.replaceChildren(...hero(), ...(!COMPARED && INPUTS.length + DATA.failed.length > 1 ? [files()] : []), detail);
  drawFile();
})();
