/* A browser keeps nothing of these pages: htmx would write down where one has been, and asks first whether it may. */
(() => {
  "use strict";
  Storage.prototype.setItem = () => {
    throw new DOMException("Nothing of these pages is kept.", "QuotaExceededError");
  };
})();
