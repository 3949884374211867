"""Label Studio's API, over HTTP and with nothing but the standard library.

What comes in are rendered tasks and what delivery asks; what goes out are values of `client`, or an error of
`errors.DeliveryError` that says whether something may have arrived. One rule holds in all files: an error never says
that nothing arrived if something may have arrived.

`client` has one method per request of the API. `session` sends a request with its token and turns its response into a
value or an error (`responses`: the table). `transport` is the HTTP request itself. `projects`
finds or creates the project of a destination. `suppression` keeps our requests out of the application's traces.
"""
