"""Programs that run inside the sandbox. They are sent as text, stand alone, and import nothing of the
package.
"""
