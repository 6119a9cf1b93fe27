// While results come in, a button ends the loading of the page, and with it the search; what was found stays.
"use strict";
const stop = document.getElementById("stop");
stop.hidden = false;
stop.addEventListener("click", () => {
  window.stop();
  stop.hidden = true;
});
document.addEventListener("DOMContentLoaded", () => { stop.hidden = true; });
